"""move_pages(2): pages of one address space to another NUMA node, and what the call says of each.

A status is the node that the page is on now, or an error, negative; NOT_WRITTEN: the call ended before.
"""

from __future__ import annotations

from collections.abc import Sequence
from errno import EACCES, EBUSY, EFAULT, ENOENT
from typing import NamedTuple

import numpy as np

from vmdedup.host import move
from vmdedup.host.layout import COUNT_MASK, CTL_PER_NODE, FRAME_MASK, FRAME_SHIFT, MAPPED, NODE_SHIFT, PRESENT
from vmdedup.host.memory import Host

NOT_WRITTEN = -999


class Moved(NamedTuple):
    """What the call returns, how many pages it did not move or try; and the status of each page."""

    left: int
    statuses: list[int]


def bind(host: Host, mm: int, node: int) -> None:
    """mbind(MPOL_BIND): frames that an address space gets from now on come from that node, while it has any."""
    host.arrays.mms[mm]["node"] = node


def where(host: Host, mm: int, absent: int = -ENOENT) -> list[int]:
    """The node of each page of an address space, or an error.

    absent: the error of a page that is not there; of the zero page, or where nothing is mapped, it is -EFAULT.
    """
    first, pages = int(host.arrays.mms[mm]["first"]), int(host.arrays.mms[mm]["pages"])
    return [_status(host, entry, absent) for entry in host.arrays.pte[first : first + pages].tolist()]


def _status(host: Host, entry: int, absent: int) -> int:
    if not entry & MAPPED:
        return -EFAULT
    if not entry & PRESENT:
        return absent
    pfn = (entry >> FRAME_SHIFT) & FRAME_MASK
    return pfn // int(host.arrays.ctl[CTL_PER_NODE]) if pfn else -EFAULT


def absent_status(is_told: bool) -> int:
    """The status of a page that is not there, which kernels told from the zero page only later."""
    return -ENOENT if is_told else -EFAULT


class Mover:
    """Moves pages on one host, huge ones as a whole. KSM frames stay: who keeps track of them has its own mover.

    absent: the status of a page that is not there. counts_last: whether what is left in the last batch is all counted.
    """

    def __init__(self, host: Host, absent: int = -ENOENT, counts_last: bool = True) -> None:
        self._host = host
        self._absent = absent
        self._counts_last = counts_last
        self._to = np.zeros(len(host.arrays.frames), np.int32)

    def move(self, mm: int, pages: Sequence[int], node: int, everybody: bool) -> Moved:
        """Move pages, in that order, to a node. everybody: also frames that more than one page maps (MOVE_ALL)."""
        first = int(self._host.arrays.mms[mm]["first"])
        statuses = [NOT_WRITTEN] * len(pages)
        queue: dict[int, int] = {}  # a frame of each unit
        start = 0
        for place, page in enumerate(pages):
            entry = int(self._host.arrays.pte[first + page])
            status = self._refusal(entry, node, everybody, queue)
            if status is None:
                pfn = (entry >> FRAME_SHIFT) & FRAME_MASK
                queue[self._unit(pfn)] = pfn
                continue
            statuses[place] = status
            if left := self._flush(queue, node):
                return Moved(left + len(pages) - place - 1, statuses)
            statuses[start:place] = [node] * (place - start)
            start = place + 1
        if left := self._flush(queue, node):
            return Moved(left - (not self._counts_last), statuses)
        statuses[start:] = [node] * (len(pages) - start)
        return Moved(0, statuses)

    def relocate(self, mm: int, node: int) -> int:
        """Take an address space to a node: what it has, and what it gets from now on. Returns how many frames stay.

        Frames that others map too are taken along.
        """
        bind(self._host, mm, node)
        entries = self._host.memory(mm).entries
        pfns = np.unique(np.where(entries & PRESENT, entries >> FRAME_SHIFT & FRAME_MASK, 0))
        away = pfns[(pfns != 0) & (pfns // self._host.arrays.ctl[CTL_PER_NODE] != node)]
        return self._flush({self._unit(pfn): pfn for pfn in away.tolist()}, node)

    def _refusal(self, entry: int, node: int, everybody: bool, queue: dict[int, int]) -> int | None:
        """The status of a page that is not to be moved; None: it is."""
        status = _status(self._host, entry, self._absent)
        if status < 0 or status == node:
            return status
        pfn = (entry >> FRAME_SHIFT) & FRAME_MASK
        if not everybody and int(self._host.arrays.frames[pfn]) & COUNT_MASK > 1:
            return -EACCES
        return -EBUSY if self._unit(pfn) in queue else None

    def _unit(self, pfn: int) -> int:
        """A number for what moves as one: a frame, or the huge page that it is part of."""
        return -int(self._host.arrays.folios[pfn]) or pfn

    def _flush(self, queue: dict[int, int], node: int) -> int:
        """Move the frames that were put aside. Returns how many stay."""
        if not queue:
            return 0
        h, to = self._host.arrays, self._to
        left = sum(not self._hold(pfn, node) for pfn in queue.values())
        queue.clear()
        left += self._keep_back()
        move.protect(h, to)
        move.copy_moved(h, to)
        self._follow()
        move.change_entries(h, to)
        left += int(move.release_moved(h, to))
        to[:] = 0
        return left

    def _hold(self, pfn: int, node: int) -> bool:
        """Find a place for a frame, and all of its huge page. False: there is none, or it is to stay."""
        h, to = self._host.arrays, self._to
        parts = [pfn]
        if folio := int(h.folios[pfn]):  # frames that were given back may have its number, too
            parts = np.flatnonzero((h.folios == folio) & (h.frames & COUNT_MASK != 0)).tolist()
        for number, part in enumerate(parts):
            if not self._may_move(part) or not move.hold_for_move(h, to, part, node):
                for held in parts[:number]:
                    move.give_up_move(h, to, held)
                return False
        return True

    def _may_move(self, pfn: int) -> bool:
        return int(self._host.arrays.frames[pfn]) >> NODE_SHIFT == 0

    def _keep_back(self) -> int:
        """Give up frames that cannot be moved after all. Returns how many."""
        return 0

    def _follow(self) -> None:
        """Frames have their new numbers now; to[old] is the new one."""
