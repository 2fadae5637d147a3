"""An emulated host's memory under pressure: reclaim, who waits, who is killed where nothing is left, what rows tell.

    free < low, at a tick's end      kswapd takes pages out until free = high, as far as its time goes
    a guest finds no frame           kswapd, if it has time left; else the guest reclaims itself, and waits for it
    there is nothing to be had       the largest guest is killed

Watermarks are Linux's: high is twice low, low the larger of sqrt(KiB) KiB and a thousandth of memory, above a reserve
that is no part of `[host] memory`. kswapd is one thread: a tick gives it a tick's time. In wall mode waiting is what it
really takes; kswapd works then while everybody stands for a guest's sake.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from vmdedup.guest.vm import GuestProcess
from vmdedup.host.frames import NO_FRAME, alloc_frame, put_frame, room
from vmdedup.host.layout import CTL_PSWPIN, CTL_PSWPOUT, CTL_SWAP, CTL_ZSWPIN, DISK, SWAP_OFF, ZRAM
from vmdedup.host.memory import Host
from vmdedup.host.oom import Badness, badness
from vmdedup.late import load
from vmdedup.run.backend.base import Note
from vmdedup.run.backend.waiting import DISK_READ_NS, DISK_WRITE_NS, PACK_NS, RECLAIM_NS, UNPACK_NS, Waiting
from vmdedup.units import PAGE_SIZE, SECOND_NS, format_size

RESERVE: Final = 256  # frames beside [host] memory, so that pages can be compressed where nothing is free
AT_ONCE: Final = 256  # pages taken out together, at most
CLUSTER: Final = 32  # ... at least: SWAP_CLUSTER_MAX
MOST_VAIN: Final = 16  # attempts in a row of which nothing came, as after so many (MAX_RECLAIM_RETRIES) Linux gives up
_KIB: Final = 1024


class Pressure:
    """A host's memory, as guests wait for it."""

    def __init__(self, host: Host, freely: bool) -> None:
        """freely: in real time."""
        self._host, self._h = host, host.arrays
        self._freely = freely
        self.waiting = Waiting()
        self.kills: list[dict[str, Any]] = []
        self._now = 0
        self._kswapd_ns = 0  # time that kswapd has had, and not used
        self._kind = int(self._h.ctl[CTL_SWAP])
        self._read = self._counts_in()
        self._seen: Mapping[int, int] = {}
        has_swap = self._kind != SWAP_OFF
        self._pages = load("vmdedup.host.reclaim:Generations")(host) if has_swap else None
        memory = host.capacity - (RESERVE if has_swap else 0)
        self.low = max(round(math.sqrt(memory * PAGE_SIZE // _KIB) * _KIB) // PAGE_SIZE, memory // 1000)
        self.high = 2 * self.low
        self._keep_reserve()

    # Reclaim

    def find_memory(self, mm: int, wanted: int) -> bool:
        """See to it that a guest that waits for so many frames can have one at least. False: there is none."""
        if self._free() > 0:
            return True
        if self._pages is None:
            return False
        if self._freely:
            self._reclaim(self.high)
            return self._free() > 0
        self._run_kswapd()
        if self._free() <= 0:
            self.waiting.charge(mm, self._reclaim(max(CLUSTER, min(wanted, AT_ONCE))))
        return self._free() > 0

    def pass_time(self, nanoseconds: int) -> None:
        """A tick has ended: guests wait for what they had back, kswapd works."""
        self._now += nanoseconds
        self.waiting.end_tick(nanoseconds)
        if self._pages is None:
            return
        self._charge_for_returns()
        self._kswapd_ns = nanoseconds
        if not self._freely and self._free() < self.low:
            self._run_kswapd()

    def _run_kswapd(self) -> None:
        if self._kswapd_ns > 0 and self._free() < self.high:
            self._kswapd_ns -= self._reclaim(self.high, self._kswapd_ns)

    def _reclaim(self, until: int, budget: int | None = None) -> int:
        """Take pages out until so many frames are free, if there are as many, or so many nanoseconds are gone.

        Returns the nanoseconds that it takes.
        """
        assert self._pages is not None
        out = load("vmdedup.host.swap:swap_out")
        spent, vain = 0, 0
        self._lend_reserve()
        while (short := until + RESERVE - self._free()) > 0 and vain < MOST_VAIN and (not budget or spent < budget):
            entries = self._pages.take(min(max(short, CLUSTER), AT_ONCE))
            if not len(entries):
                break
            before = int(self._h.ctl[CTL_PSWPOUT])
            went = out(self._host, entries)
            vain = 0 if went else vain + 1
            spent += went * (RECLAIM_NS + (PACK_NS if self._kind != DISK else 0))
            spent += (int(self._h.ctl[CTL_PSWPOUT]) - before) * (DISK_WRITE_NS if self._kind != ZRAM else 0)
        self._keep_reserve()
        return spent

    def _counts_in(self) -> tuple[int, int]:
        """Pages read from a disk, and unpacked, so far."""
        swapped, unpacked = int(self._h.ctl[CTL_PSWPIN]), int(self._h.ctl[CTL_ZSWPIN])
        return (0, swapped) if self._kind == ZRAM else (swapped, unpacked)

    def _charge_for_returns(self) -> None:
        """Bill guests for pages that came back since the last tick: each for its part of what all of that cost."""
        now = self._counts_in()
        read, unpacked = now[0] - self._read[0], now[1] - self._read[1]
        self._read = now
        cost = read * DISK_READ_NS + unpacked * UNPACK_NS
        counts = {int(mm): int(self._h.mms[mm]["swapped_in"]) for mm in np.flatnonzero(self._h.mms["swapped_in"])}
        came = {mm: count - self._seen.get(mm, 0) for mm, count in counts.items()}
        came = {mm: counts[mm] if count < 0 else count for mm, count in came.items()}  # another guest has its number
        self._seen = counts
        for mm, count in came.items():
            if count:
                self.waiting.charge(mm, cost * count // sum(came.values()))

    # Frames

    def _free(self) -> int:
        return int(room(self._h))

    @property
    def reserved(self) -> int:
        """Frames that are nobody's: neither used nor free."""
        return int(np.count_nonzero(self._h.pool[-RESERVE:])) if self._pages is not None else 0

    def _keep_reserve(self) -> None:
        """Set frames aside, in the last places of the pool, from which nobody draws."""
        if self._pages is None:
            return
        for place in range(len(self._h.pool) - RESERVE, len(self._h.pool)):
            if self._h.pool[place] == 0 and (pfn := int(alloc_frame(self._h, 0))) != NO_FRAME:
                self._h.pool[place] = pfn

    def _lend_reserve(self) -> None:
        """Let compressed pages have it, while others are taken out."""
        for place in range(len(self._h.pool) - RESERVE, len(self._h.pool)):
            pfn, self._h.pool[place] = int(self._h.pool[place]), 0
            put_frame(self._h, pfn)

    # The end

    def bury(self, mms: Sequence[int]) -> None:
        """Guests are gone, and frames were counted afresh."""
        for mm in mms:
            self.waiting.forget(mm)
        self._keep_reserve()

    def largest(self, guests: Sequence[GuestProcess], note: Note, hint: str | None) -> GuestProcess:
        """Who is killed: the largest, of equals the youngest. It is noted, with its size, and a hint, if any."""
        sizes = [badness(self._host.memory(guest.mm).entries) for guest in guests]
        place = max(range(len(sizes)), key=lambda number: (sizes[number].points, number))
        victim, size = guests[place], sizes[place]
        kill = {"guest": victim.spec.name, "time_s": self._now / SECOND_NS, "resident_pages": size.resident}
        self.kills.append(kill | {"swapped_pages": size.swapped, "table_pages": size.tables})
        note(f"out of memory: {victim.spec.name} is killed: {_said(size)}" + (f"; {hint}" if hint else ""))
        return victim

    def figures(self) -> Mapping[str, int | float]:
        """Columns of result.columns.PRESSURE. Exact while nobody runs."""
        swap = load("vmdedup.host.swap:swap_figures")(self._host)
        return {
            "mem_available_pages": max(0, self._free() - self.high),
            "swap_used_pages": swap.records,
            "swap_stored_bytes": swap.packed_bytes + swap.on_disk * PAGE_SIZE,
            "swap_frames": swap.pool_frames,
            "pswpin": swap.pswpin + swap.zswpin,
            "pswpout": swap.pswpout + swap.zswpout,
            **self.waiting.row(),
            "oom_kills": len(self.kills),
        }


def _said(size: Badness) -> str:
    parts = {"resident": size.resident, "in swap": size.swapped, "of page tables": size.tables}
    return ", ".join(f"{format_size(pages * PAGE_SIZE)} {what}" for what, pages in parts.items() if pages)
