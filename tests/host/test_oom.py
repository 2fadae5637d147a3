"""How large an address space is to Linux's OOM killer, page by page."""

from __future__ import annotations

import numpy as np

from vmdedup.host.layout import FRAME_SHIFT, KIND_SHIFT, MAPPED, PRESENT, SWAPPED, WHOLE, ZERO
from vmdedup.host.memory import Host
from vmdedup.host.oom import Badness, badness


def test_resident_pages_are_those_with_a_frame_shared_or_not() -> None:
    host = Host.create(2048)
    memory = host.add(1100)
    memory.write_pages(np.arange(600), np.ones((600, 4096), np.uint8))
    memory.touch(np.arange(1090, 1095))
    other = memory.fork()
    size = badness(memory.entries)
    assert size == badness(other.entries) == Badness(resident=600, swapped=0, tables=3 + 1 + 1)
    assert size.points == 605
    assert badness(host.add(64).entries) == Badness(0, 0, 0), "nothing was touched: it has no tables either"
    host.close()


def test_the_zero_page_is_not_resident_what_is_in_swap_counts_and_a_huge_page_needs_no_table() -> None:
    entries = np.full(2048, MAPPED, np.int64)
    entries[:512] |= PRESENT | WHOLE | np.arange(7, 519) << FRAME_SHIFT
    entries[600] |= PRESENT | ZERO
    entries[1100:1103] |= SWAPPED << KIND_SHIFT
    assert badness(entries) == Badness(resident=512, swapped=3, tables=2 + 1 + 1)
