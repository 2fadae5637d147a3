"""Memory that stands still, for benchmarks that scan it: guests' pages, and what they say of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.contents import PAGE, Pages, prefix
from vmdedup.guest.diskspec import DiskSpec, open_disk
from vmdedup.guest.machine import Guest
from vmdedup.guest.spec import GuestSpec
from vmdedup.host.layout import PRESENT
from vmdedup.host.memory import Host
from vmdedup.papers.bench.guests import options_of_the_time

SEED: Final = 7
COMMON: Final = 256  # contents that all pages of `alike` have
GUESTS: Final = ("database", "database", "compile", "files")
LIVED_MS: Final = 20_000  # how long guests and the phone have lived
TICK_MS: Final = 100
DISK: Final = DiskSpec(kind="generated", seed=SEED, mib=24)


@dataclass(frozen=True)
class Image:
    """guests: for each, its pages, uint8 (n, 4096). areas: what the first says of its pages (host.layout.area_dtype).

    untouched: pages of the first guest that it never stored to.
    """

    guests: list[Pages]
    areas: NDArray[Any] | None = None
    untouched: NDArray[np.int64] | None = None

    @property
    def pages(self) -> int:
        """Pages that hold something."""
        return sum(len(rows) for rows in self.guests) - (0 if self.untouched is None else len(self.untouched))


def noise(pages: int) -> Image:
    """Every page another one."""
    return _quarters(np.frombuffer(np.random.default_rng(SEED).bytes(pages * PAGE), np.uint8).reshape(-1, PAGE))


def alike(pages: int) -> Image:
    """A few common pages, of noise, in random order."""
    random = np.random.default_rng(SEED)
    common = np.frombuffer(random.bytes(COMMON * PAGE), np.uint8).reshape(-1, PAGE)
    return _quarters(common[random.integers(0, COMMON, pages)])


def prefixed(pages: int) -> Image:
    """Pages whose first half is the same everywhere, a quarter of them distinct."""
    return _quarters(prefix(pages))


def guests(pages: int) -> Image:
    """Four servers with one generated disk, two of them alike."""
    return Image([_lived(name, pages // len(GUESTS), number)[0] for number, name in enumerate(GUESTS)])


def phone(pages: int) -> Image:
    """A phone with its apps, which says whose pages are whose."""
    rows, present, areas = _lived("phone", pages, SEED, switch_s=3.0)
    return Image([rows], areas, np.flatnonzero(~present))


def _quarters(rows: Pages) -> Image:
    return Image(np.array_split(rows, 4))


def _lived(workload: str, pages: int, seed: int, **parameters: Any) -> tuple[Pages, NDArray[np.bool_], NDArray[Any]]:
    """A guest's pages after LIVED_MS, which of them it ever stored to, and what it says of them."""
    host, disk = Host.create(pages, mms=2), open_disk(DISK)
    try:
        memory = host.add(pages, workload)
        said = {"workload": workload, "kernel_mib": 2, "seed": seed, "parameters": parameters}
        spec = GuestSpec(workload, pages, disk=DISK, **options_of_the_time(said))
        guest = Guest(spec, memory, disk)
        guest.boot()
        for _ in range(LIVED_MS // TICK_MS):
            guest.tick(TICK_MS)
        present = memory.entries & PRESENT != 0
        return np.array(memory.read_pages(np.arange(pages))), present, host.arrays.areas[memory.mm].copy()
    finally:
        host.close()
        disk.close()


IMAGES: Final[Mapping[str, Callable[[int], Image]]] = {
    "noise": noise,
    "alike": alike,
    "prefix": prefixed,
    "guests": guests,
    "phone": phone,
}
