"""Locks of ours: files that one process at a time holds, by flock, in folders where others can put nothing.

Whoever can open a file can hold it, for reading too: so a lock's file is for its owner alone, and so is its folder.
"""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

from vmdedup.closing import Closing
from vmdedup.errors import EnvironmentLacksError


class Lock(Closing):
    """The file of a lock, open. descriptor: for others who shall hold it too; it is free when all have closed it."""

    def __init__(self, path: Path) -> None:
        """Open the file, made if it is missing; its folder is there. EnvironmentLacksError: it is no lock of ours."""
        self.path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            self.descriptor = os.open(path, flags, 0o600)
        except OSError as error:
            raise EnvironmentLacksError(f"{path} is no lock of ours ({error.strerror}); remove it") from None
        status = os.fstat(self.descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            self.close()
            raise EnvironmentLacksError(f"{path} is no lock of ours (not a file, or another user's); remove it")
        os.fchmod(self.descriptor, 0o600)  # programs like flock(1) make it for all to read

    def take(self, wait: bool = False) -> bool:
        """Hold it. wait: until it is free. Returns whether it is held now."""
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True

    @property
    def text(self) -> str:
        """What its holder has written into it; 64 bytes at most."""
        return os.pread(self.descriptor, 64, 0).decode("ascii", "replace").strip()

    @text.setter
    def text(self, text: str) -> None:
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, f"{text}\n".encode(), 0)

    def close(self) -> None:
        """Give it back, as far as this process holds it. Harmless when done already."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
