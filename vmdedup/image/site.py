"""Where images are kept on this machine, and how one is built beside the others without a trace if it fails."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# Removes the directory it is given when its stdin ends: when the builder is done, or dies of whatever.
_JANITOR = 'read -r line; exec rm -rf -- "$1"'


@dataclass(frozen=True)
class Site:
    """A cache directory: images below images/, Debian packages below packages/."""

    directory: Path

    @classmethod
    def of_user(cls) -> Site:
        """This user's: /var/cache/vmdedup for root, else vmdedup below XDG_CACHE_HOME or ~/.cache.

        XDG_CACHE_HOME, if set, goes before for root too.
        """
        chosen = os.environ.get("XDG_CACHE_HOME", "")
        if os.path.isabs(chosen):
            return cls(Path(chosen) / "vmdedup")
        return cls(Path("/var/cache/vmdedup") if os.geteuid() == 0 else Path.home() / ".cache" / "vmdedup")

    @property
    def images(self) -> Path:
        """Built images, by name."""
        return self.directory / "images"

    @property
    def packages(self) -> Path:
        """Downloaded packages."""
        return self.directory / "packages"

    @contextmanager
    def building(self, name: str, note: Callable[[str], None]) -> Iterator[Path]:
        """An empty directory to build in, for one process at a time; gone afterwards, unless it was put in place."""
        self.images.mkdir(parents=True, exist_ok=True, mode=0o755)
        descriptor = os.open(self.images / f".{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            _take(descriptor, name, note)
            directory = self.images / f".{name}.building"
            shutil.rmtree(directory, ignore_errors=True)
            with _janitor(directory, descriptor):
                directory.mkdir()
                directory.chmod(0o755)  # QEMU's own user reads what is here
                yield directory
        finally:
            os.close(descriptor)

    def put(self, name: str, directory: Path) -> None:
        """Put a complete image in the place of the one that was there."""
        self.drop(name)
        os.rename(directory, self.images / name)

    def drop(self, name: str) -> None:
        """Remove an image; it is not there any more from the first moment on."""
        old, condemned = self.images / name, self.images / f".{name}.old"
        shutil.rmtree(condemned, ignore_errors=True)
        if old.exists():
            os.rename(old, condemned)
            shutil.rmtree(condemned)


def _take(descriptor: int, name: str, note: Callable[[str], None]) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        note(f"waiting for another build of {name}")
        fcntl.flock(descriptor, fcntl.LOCK_EX)


@contextmanager
def _janitor(directory: Path, lock: int) -> Iterator[None]:
    """A process that removes the directory when this block, or this process, has ended. It keeps the lock until then.

    In a session of its own: Ctrl-C is not for it.
    """
    command = ["/bin/sh", "-c", _JANITOR, "sh", str(directory)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[lock], start_new_session=True):
        yield
