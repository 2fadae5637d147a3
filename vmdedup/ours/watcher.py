"""A process that puts right what this one leaves, however it ends: how it is started and spoken to.

owner ──messages, descriptors with them──► watcher       a session of its own: no signal to the owner's group reaches it
owner ◄──────────── answers ────────────── watcher       end of the socket, or the owner's death: it does it, and exits
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import suppress

from vmdedup.ours import child

_LARGEST = 1 << 18  # of a message


class Watcher:
    """The owner's end."""

    def __init__(self, script: str) -> None:
        """Start a script of ours with the standard library only: standard input is a socket, its argument our pidfd."""
        owner = os.pidfd_open(os.getpid())
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self.process = child.start(
                child.python_script(script, str(owner)),
                pass_fds=(owner,),
                stdin=theirs,
                stdout=child.DEVNULL,
                start_new_session=True,
                cwd="/",
            )
        except BaseException:
            self._socket.close()
            raise
        finally:
            os.close(owner)
            theirs.close()

    def tell(self, message: bytes, descriptors: Sequence[int] = ()) -> None:
        """Say something. Nothing is done if somebody has killed it: hear() and end() tell."""
        with suppress(BrokenPipeError, ConnectionResetError):
            socket.send_fds(self._socket, [message], list(descriptors))

    def hear(self) -> bytes:
        """What it answers; nothing if it has ended."""
        try:
            return self._socket.recv(_LARGEST)
        except ConnectionResetError:
            return b""

    def end(self) -> int:
        """Close the socket, and wait. Returns its exit status, negative if somebody killed it."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # whoever else has it, as a fork of ours may
        self._socket.close()
        return int(self.process.wait())
