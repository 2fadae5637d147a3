"""What the fork server loads first: a watch on its parent. Not to be imported elsewhere: it changes its process.

A parent that is killed cannot remove the folder in which the server's socket lies, nor stop a server that is still busy
compiling. So a thread of the server waits for the parent's end, removes the folder and ends the server.
"""

from __future__ import annotations

import atexit
import os
import select
import shutil
import socket
import threading
from pathlib import Path

from vmdedup.host.workers import ORPHANED


def _socket_folder() -> Path | None:
    """The folder of the socket on which this process listens for requests to fork."""
    for name in os.listdir("/proc/self/fd"):
        try:
            copy = os.dup(int(name))
        except OSError:
            continue
        try:
            address = socket.socket(fileno=copy).getsockname()
        except OSError:
            os.close(copy)
            continue
        if isinstance(address, str) and Path(address).name.startswith("listener-"):
            return Path(address).parent
    return None


def _outlive(parent: int, folder: Path | None) -> None:
    poll = select.poll()
    poll.register(parent, select.POLLIN)
    poll.poll()
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(ORPHANED)


def _watch(folder: Path | None) -> None:
    """Remove the folder at this process's end, too: the parent may be gone already, and then init is watched."""
    if folder is not None:
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    parent = os.pidfd_open(os.getppid())
    threading.Thread(target=_outlive, args=(parent, folder), name="parent-watch", daemon=True).start()


_watch(_socket_folder())
