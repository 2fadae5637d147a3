"""Where images are kept on this machine, and how one is built beside the others without a trace if it fails."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vmdedup.ours import child, folder
from vmdedup.ours.lock import Lock

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
            return cls(folder.SYSTEM_CACHE)
        return cls(folder.cache_home() / "vmdedup")

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
        folder.private(self.images, 0o755)
        with Lock(self.images / f".{name}.lock") as lock:
            _take(lock, name, note)
            directory = self.images / f".{name}.building"
            with _janitor([directory, self._condemned(name)], lock.descriptor):
                shutil.rmtree(directory, ignore_errors=True)
                folder.make(directory, 0o755)  # QEMU's own user reads what is here
                yield directory

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


def _take(lock: Lock, name: str, note: Callable[[str], None]) -> None:
    if not lock.take():
        note(f"waiting for another build of {name}")
        lock.take(wait=True)


@contextmanager
def _janitor(directories: list[Path], lock: int) -> Iterator[None]:
    """A process that removes directories when this block, or this process, has ended. It keeps the lock until then.

    In a session of its own: Ctrl-C is not for it.
    """
    command = ["/bin/sh", "-c", _JANITOR, "sh", *map(str, directories)]
    with child.start(command, stdin=child.PIPE, pass_fds=[lock], start_new_session=True):
        yield
