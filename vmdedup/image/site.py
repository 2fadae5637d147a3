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

# Removes what it is given when its stdin ends: when the builder is done, or dies of whatever.
_JANITOR = 'read -r line; exec rm -rf -- "$@"'


@dataclass(frozen=True)
class Site:
    """A cache directory: images below images/, Debian packages below packages/."""

    directory: Path

    @classmethod
    def of_user(cls) -> Site:
        """VMDEDUP_CACHE if set; else /var/cache/vmdedup for root, and vmdedup below XDG_CACHE_HOME or ~/.cache."""
        if chosen := os.environ.get("VMDEDUP_CACHE"):
            return cls(Path(chosen).absolute())
        if os.geteuid() == 0:
            return cls(Path("/var/cache/vmdedup"))
        general = os.environ.get("XDG_CACHE_HOME", "")
        return cls((Path(general) if os.path.isabs(general) else Path.home() / ".cache") / "vmdedup")

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
            with _janitor([directory, self._condemned(name)], descriptor):
                shutil.rmtree(directory, ignore_errors=True)
                directory.mkdir()
                directory.chmod(0o755)  # QEMU's own user reads what is here
                yield directory
        finally:
            os.close(descriptor)

    def put(self, name: str, directory: Path) -> None:
        """Put a complete image in the place of the one that was there. Inside building()."""
        self.drop(name)
        os.rename(directory, self.images / name)

    def drop(self, name: str) -> None:
        """Take an image out of its place, whole; the end of building() removes it."""
        shutil.rmtree(self._condemned(name), ignore_errors=True)
        if (self.images / name).exists():
            os.rename(self.images / name, self._condemned(name))

    def _condemned(self, name: str) -> Path:
        return self.images / f".{name}.old"


def _take(descriptor: int, name: str, note: Callable[[str], None]) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        note(f"waiting for another build of {name}")
        fcntl.flock(descriptor, fcntl.LOCK_EX)


@contextmanager
def _janitor(directories: list[Path], lock: int) -> Iterator[None]:
    """A process that removes directories when this block, or this process, has ended. It keeps the lock until then.

    In a session of its own: Ctrl-C is not for it.
    """
    command = ["/bin/sh", "-c", _JANITOR, "sh", *map(str, directories)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[lock], start_new_session=True):
        yield
