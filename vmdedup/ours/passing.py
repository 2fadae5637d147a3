"""Temporary folders that go with the process that made them, however it ends: a janitor removes them.

The janitor knows a folder's name before there is the folder, and waits for nothing but its standard input's end. Where
both were killed at once, as in a container that is stopped, a folder stays: it is held by flock, and whoever makes
the next one removes those that nobody holds.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from vmdedup.closing import Closing
from vmdedup.errors import EnvironmentLacksError
from vmdedup.ours import child, folder

PREFIX = "vmd-"  # short: names of sockets in it have 107 bytes at most
NAME = "vmdedup-janitor"  # what its command line shows
# The name comes on its standard input: on its command line all could see it before the folder is made.
_DO = 'trap "" INT TERM HUP; IFS= read -r folder; read -r line; [ -z "$folder" ] || exec rm -rf -- "$folder"'
_YOUNG = 60.0  # seconds in which a folder's maker may not have come to hold it


class Passing(Closing):
    """A folder of ours; a context manager. Left open, it goes at the end of this process."""

    def __init__(self, above: Path | None = None) -> None:
        """above: the folder to make it in, or the one for temporary files. EnvironmentLacksError: it cannot be."""
        root = above if above is not None else folder.temporary_root()
        _sweep(root)
        self.path = root / folder.random_name(PREFIX)
        self._janitor = child.start(
            ["/bin/sh", "-c", _DO, NAME],
            stdin=child.PIPE,
            stdout=child.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
        assert self._janitor.stdin is not None
        self._held = -1
        self._maker = os.getpid()
        atexit.register(self.close)
        try:
            self._janitor.stdin.write(os.fsencode(self.path) + b"\n")
            self._janitor.stdin.flush()
            folder.make(self.path)
            self._held = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._held, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except EnvironmentLacksError:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise EnvironmentLacksError(f"no folder can be made in {root}: {error.strerror}; set TMPDIR") from None

    def close(self) -> None:
        """Remove it with all that is in it. Harmless when done already, and in a fork of its maker."""
        if self._maker != os.getpid():
            return
        atexit.unregister(self.close)
        if self._held >= 0:
            os.close(self._held)
            self._held = -1
        shutil.rmtree(self.path, ignore_errors=True)
        self._janitor.kill()  # its work is done; a fork of ours may hold its standard input open
        with suppress(BrokenPipeError):
            self._janitor.communicate()


def _sweep(root: Path) -> None:
    """Remove folders of ours that nobody holds any more."""
    with suppress(OSError):
        for path in root.glob(f"{PREFIX}*"):
            with suppress(OSError):
                _remove_if_left(path)


def _remove_if_left(path: Path) -> None:
    status = path.lstat()
    if status.st_uid != os.geteuid() or time.time() - status.st_mtime < _YOUNG:
        return
    held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(held)
