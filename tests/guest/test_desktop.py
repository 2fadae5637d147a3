"""Desktops: what their processes have in common, and what randomised addresses and other releases take of it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from kit.guest_ram import DISK, Ram, boot, spec
from vmdedup.guest.diskspec import open_disk
from vmdedup.guest.mixes import HeapMix
from vmdedup.guest.spec import Variant
from vmdedup.guest.workloads.desktop import Desktop

SHARED = open_disk(DISK)
COUNT, MIB = 24, 24
ALIKE = HeapMix(common=0.25)


def started(aslr: str = "off", seed: int = 5, variant: Variant | None = None) -> tuple[Ram, Desktop]:
    """A desktop that has just begun, and its workload."""
    given = spec(mib=MIB, workload="desktop", aslr=aslr, seed=seed, variant=variant or Variant(), heap=ALIKE)
    made, ram = boot(given, SHARED)
    made.tick(100)
    workload = made._workload
    assert isinstance(workload, Desktop)
    made.verify()
    return ram, workload


def contents(ram: Ram, frames: np.ndarray) -> list[bytes]:
    return [ram.bytes[frame].tobytes() for frame in frames]


def test_shares_of_memory_are_as_stated() -> None:
    _, desktop = started()
    pages = MIB * 256
    assert len(desktop._processes) == COUNT
    assert sum(len(process.heap) for process in desktop._processes) == pytest.approx(0.45 * pages, abs=COUNT)
    assert sum(map(len, desktop._data)) == pytest.approx(0.07 * pages, abs=COUNT)


def test_processes_of_one_program_begin_alike_and_others_do_not() -> None:
    ram, desktop = started()
    first, other, twin = (desktop._processes[number].heap.frames for number in (0, 1, 6))
    alike = set(contents(ram, first))
    assert sum(page in alike for page in contents(ram, twin)) / len(twin) == pytest.approx(0.25, abs=0.12)
    assert sum(page in alike and any(page) for page in contents(ram, other)) == 0


@pytest.mark.parametrize(("aslr", "alike"), [("off", 1.0), ("bytes", 0.75)])
def test_libraries_data_is_alike_but_for_addresses(aslr: str, alike: float) -> None:
    ram, desktop = started(aslr)
    often = Counter(page for memory in desktop._data for page in contents(ram, memory.frames))
    copies = sum(times for times in often.values() if times >= COUNT)
    assert copies / sum(often.values()) == pytest.approx(alike, abs=0.12)


def test_another_release_has_other_data() -> None:
    one, desktop = started()
    for variant, alike in ((Variant(), 1.0), (Variant(differs=1.0, seed=3), 0.0)):
        two, other = started(seed=6, variant=variant)
        mine = set(contents(one, desktop._data[0].frames))
        theirs = contents(two, other._data[0].frames)
        assert sum(page in mine for page in theirs if any(page)) == alike * sum(any(page) for page in theirs)
