"""What the fork server loads first: a watch on its parent. Not to be imported elsewhere: it changes its process.

A parent that is killed cannot stop a server that is still busy compiling. So a thread of the server waits for the
parent's end, and ends the server.
"""

from __future__ import annotations

import os
import select
import threading

from vmdedup.host.workers import ORPHANED


def _outlive(parent: int) -> None:
    poll = select.poll()
    poll.register(parent, select.POLLIN)
    poll.poll()
    os._exit(ORPHANED)


threading.Thread(target=_outlive, args=(os.pidfd_open(os.getppid()),), name="parent-watch", daemon=True).start()
