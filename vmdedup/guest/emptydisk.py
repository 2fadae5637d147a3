"""The disk of guests that have none."""

from __future__ import annotations

from vmdedup.guest.content import Pages
from vmdedup.guest.disk import Disk
from vmdedup.guest.index import FileIndex


class EmptyDisk(Disk):
    """No file at all."""

    def __init__(self) -> None:
        self.index = FileIndex.build(())
        self.identity = 0

    def fill(self, file: int, offset: int, out: Pages) -> None:
        """There is nothing to read."""

    def close(self) -> None:
        """Nothing is open."""
