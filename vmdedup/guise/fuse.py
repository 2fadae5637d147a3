"""Files that answer: an emulated host's, mounted by FUSE. A read is of the moment, a write goes to ksmd.

As in sysfs and procfs: a text is made when its beginning is read and stays for that open file; each write is one
write to the tunable, whatever its offset. Source: fs/kernfs/file.c; fs/seq_file.c.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from vmdedup.guise.answers import Answers

_LISTED_S: Final = 0.2  # how long a listing holds
_SIZE: Final = 4096  # of files of sysfs, as they say themselves; those of procfs say 0
DEVICE: Final = Path("/dev/fuse")


def why_not() -> str:
    """Why files cannot answer here, with the remedy; nothing if they can."""
    if not DEVICE.exists():
        return f"there is no {DEVICE} here (in a container: --device {DEVICE}; else: modprobe fuse)"
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return f"{DEVICE} cannot be opened (chmod 0666 {DEVICE})"
    try:
        import mfusepy  # noqa: F401
    except ImportError:
        return "files that answer need mfusepy (pip install 'vmdedup[fuse]')"
    except OSError:
        return "files that answer need libfuse (apt-get install fuse3)"
    return ""


class Operations:
    """What libfuse calls, by name, in one thread. Errors are OSErrors."""

    use_ns = True

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._began = time.time_ns()
        self._files: dict[str, int] = {}
        self._folders: dict[str, dict[str, None]] = {}
        self._listed = -_LISTED_S
        self._open: dict[int, bytes] = {}
        self._next = 0

    def _list(self, name: str = "") -> None:
        """Have a listing that is young enough, or that has this name, if there is one of it."""
        if time.monotonic() - self._listed < _LISTED_S and (name in self._folders or name in self._files):
            return
        self._files = self._answers.list()[0]
        self._folders = {"": {}}
        for path in self._files:
            parts = path.split("/")
            for i, part in enumerate(parts):
                self._folders.setdefault("/".join(parts[:i]), {})[part] = None
        self._listed = time.monotonic()

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        """stat(2)."""
        name = path.strip("/")
        if name:  # the folder itself is looked at while it is mounted, when nobody answers yet
            self._list(name)
        times = dict.fromkeys(("st_atime", "st_mtime", "st_ctime"), self._began)
        owner = {"st_uid": os.geteuid(), "st_gid": os.getegid()}
        if not name or name in self._folders:
            return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2, **times, **owner}
        if name not in self._files:
            raise OSError(errno.ENOENT, path)
        size = _SIZE if name.startswith("sys/") else 0
        return {"st_mode": stat.S_IFREG | self._files[name], "st_nlink": 1, "st_size": size, **times, **owner}

    def readdir(self, path: str, fh: int) -> Iterable[str]:
        """Names in a folder."""
        self._list(path.strip("/"))
        return [".", "..", *self._folders.get(path.strip("/"), ())]

    def open(self, path: str, flags: int) -> int:
        """A number for the open file. EACCES: it is open for writing, and cannot be written."""
        self._list(path.strip("/"))
        mode = self._files.get(path.strip("/"))
        if mode is None:
            raise OSError(errno.ENOENT, path)
        if flags & os.O_ACCMODE != os.O_RDONLY and not mode & stat.S_IWUSR:
            raise OSError(errno.EACCES, path)
        self._next += 1
        return self._next

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        """Nobody makes files there."""
        raise OSError(errno.EACCES, path)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        """A part of the text, which is made anew when its beginning is asked for."""
        if offset == 0 or fh not in self._open:
            self._open[fh] = self._answers.read(path.strip("/")).encode()
        return self._open[fh][offset : offset + size]

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        """Write to a tunable."""
        self._answers.write(path.strip("/"), data.decode("utf-8", "replace"))
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        """As sysfs does: nothing."""
        return 0

    def release(self, path: str, fh: int) -> int:
        """The open file is closed."""
        self._open.pop(fh, None)
        return 0


class Mount:
    """The files mounted at a folder, served by a thread, until close()."""

    def __init__(self, answers: Answers, folder: Path, **options: Any) -> None:
        """options: of mount.fuse. OSError: it cannot be mounted."""
        self.folder = folder
        before = os.stat(folder).st_dev
        here = os.open(".", os.O_PATH | os.O_CLOEXEC)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, args=(Operations(answers), options), daemon=True)
        self._thread.start()
        try:
            while os.stat(folder).st_dev == before:
                self._thread.join(0.005)
                if not self._thread.is_alive():
                    raise OSError(f"{folder} cannot be mounted: {self._error}")
            os.fchdir(here)  # libfuse has gone to / before it answered
        finally:
            os.close(here)

    def _serve(self, operations: Operations, options: dict[str, Any]) -> None:
        import mfusepy

        try:
            mfusepy.FUSE(
                operations,
                str(self.folder),
                foreground=True,
                nothreads=True,
                direct_io=True,
                fsname="vmdedup",
                **options,
            )
        except (RuntimeError, OSError) as error:
            self._error = error

    def is_served(self) -> bool:
        """Whether it is mounted still; somebody else may have unmounted it."""
        return self._thread.is_alive()

    def join(self) -> None:
        """Wait for the thread, once it is unmounted."""
        self._thread.join(2.0)
