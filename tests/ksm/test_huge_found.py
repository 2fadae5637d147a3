"""A huge page whose place has been taken meanwhile, and the counters that tell how long a batch takes."""

from __future__ import annotations

import numpy as np

from kit.huge_hosts import host_of
from vmdedup.host.huge import _place_huge
from vmdedup.host.layout import CTL_THP
from vmdedup.host.thp import HUGE_PAGES, THP_MADVISE, THP_NEVER
from vmdedup.ksm.ksmd import Ksmd


def test_who_places_a_huge_page_finds_another_there() -> None:
    host, (memory,) = host_of(HUGE_PAGES)
    host.arrays.ctl[CTL_THP] = THP_NEVER
    memory.write(3, b"there")
    host.arrays.ctl[CTL_THP] = THP_MADVISE
    assert not _place_huge(host.arrays, memory.mm, int(host.arrays.mms[memory.mm]["first"]))
    assert memory.read(3)[:5] == b"there"
    assert not np.frombuffer(memory.read(0), np.uint8).any()
    host.check()
    host.close()


def test_tally() -> None:
    host, (memory,) = host_of(8)
    memory.write_pages(np.arange(4), np.repeat(np.arange(1, 3, dtype=np.uint8), 2)[:, None].repeat(4096, 1))
    ksmd = Ksmd(host)
    ksmd.set("run", "1")
    ksmd.enter(memory.mm)
    for _ in range(3):
        ksmd.full_scan()
    assert tuple(ksmd.tally())[:4] == (2, 2, 0, 0)
    host.close()
