"""A guest's memory as one array: what guest tests use where sharing between guests does not matter.

Much faster than host memory in Python mode, and it remembers in which order what was stored.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmdedup.guest.disk import Disk
from vmdedup.guest.diskspec import DiskSpec, open_disk
from vmdedup.guest.machine import Guest
from vmdedup.guest.spec import GuestSpec

DISK = DiskSpec(kind="generated", seed=7, mib=24)
PAGE = 4096


class Ram:
    """Fills the interface of host.memory.Memory. log: every store since it was cleared, (page, bytes)."""

    def __init__(self, pages: int) -> None:
        self.pages = pages
        self.page_size = PAGE
        self.has_fingerprints = False
        self.bytes: NDArray[np.uint8] = np.zeros((pages, PAGE), dtype=np.uint8)
        self.written = np.zeros(pages, dtype=np.bool_)
        self.touched = np.zeros(pages, dtype=np.bool_)
        self.log: list[tuple[int, int]] = []
        self.gone = False
        self.areas: dict[int, tuple[int, ...]] = {}  # first, pages, kind, owner, state
        self._stores = hashlib.blake2b()

    def write_pages(self, pages: NDArray[np.int64], data: NDArray[np.uint8]) -> None:
        assert len(np.unique(pages)) == len(pages), "a batch stores into a page once"
        self._record(pages, data)
        self.bytes[pages] = data

    def write_bytes(self, pages: NDArray[np.int64], places: NDArray[np.int64], data: NDArray[np.uint8]) -> None:
        self._record(pages, data)
        for page, place, run in zip(pages, places, data, strict=True):
            assert 0 <= place <= PAGE - len(run)
            self.bytes[page, place : place + len(run)] = run

    def read_pages(self, pages: NDArray[np.int64]) -> NDArray[np.uint8]:
        self.touched[pages] = True
        return self.bytes[pages]

    def touch(self, pages: NDArray[np.int64]) -> None:
        self.touched[pages] = True

    def hint(self, pages: NDArray[np.int64]) -> None:
        """Nobody wants them."""

    def declare(self, area: int, first: int, pages: int, kind: int, owner: int, state: int) -> None:
        self.areas[area] = (first, pages, kind, owner, state)

    def discard(self, pages: NDArray[np.int64]) -> None:
        self._record(pages, np.zeros((len(pages), 0), dtype=np.uint8))
        self.bytes[pages] = 0

    def exit(self) -> None:
        self.gone = True

    def _record(self, pages: NDArray[np.int64], data: NDArray[np.uint8]) -> None:
        self.written[pages] = True
        self.log.extend((page, data.shape[1]) for page in pages.tolist())
        self._stores.update(np.ascontiguousarray(pages).tobytes())
        self._stores.update(np.ascontiguousarray(data).tobytes())

    def stores(self) -> str:
        """Digest over the whole sequence of stores: pages and bytes."""
        return self._stores.hexdigest()


def spec(name: str = "g", mib: int = 16, **options: Any) -> GuestSpec:
    """A small guest on the generated disk."""
    given: dict[str, Any] = {"disk": DISK, "kernel_mib": 2} | options
    return GuestSpec(name, mib * 256, **given)


def guest(given: GuestSpec, disk: Disk | None = None) -> tuple[Guest, Ram]:
    """A guest on an array."""
    ram = Ram(given.memory_pages)
    return Guest(given, ram, disk or open_disk(given.disk)), ram  # type: ignore[arg-type]


def boot(given: GuestSpec, disk: Disk | None = None) -> tuple[Guest, Ram]:
    """A guest that has booted and is about to begin its workload."""
    made, ram = guest(given, disk)
    made.boot()
    for _ in range(1000):
        if made.tick(20).state == "running":
            return made, ram
    raise AssertionError("the boot does not end")
