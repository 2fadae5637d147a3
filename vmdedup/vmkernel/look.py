"""What the guest's kernel shows of its memory: page maps, kinds of pages, nodes, vmstat, smaps, ksm_stat.

Source: Documentation/admin-guide/mm/pagemap.rst; proc(5); move_pages(2).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vmdedup.ksm.sysfs import PROCESS_COUNTERS
from vmdedup.units import PAGE_SIZE
from vmdedup.vmkernel import numbers as sys
from vmdedup.vmkernel.guest import Guest
from vmdedup.vmkernel.memory import BASE, GuestMemory, address

Entries = NDArray[np.uint64]

VMSTAT = (
    *("cow_ksm", "ksm_swpin_copy", "pswpin", "pswpout", "pgmigrate_success", "pgmigrate_fail"),
    *("thp_fault_alloc", "thp_fault_fallback", "thp_collapse_alloc", "thp_split_page", "thp_split_page_failed"),
    *("thp_deferred_split_page", "thp_underused_split_page", "thp_split_pmd", "thp_swpout", "thp_swpout_fallback"),
    *("thp_migration_success", "thp_migration_split"),
)
SMAPS = ("Rss", "Pss", "Anonymous", "AnonHugePages", "KSM", "Swap")
NOT_WRITTEN = -999  # a status that move_pages left alone
MOST_PAGES = 1 << 16  # of one look at a page map

_AT_ONCE = 32  # processes
_PRESENT, _SWAPPED, _FRAME = np.uint64(1 << 63), np.uint64(1 << 62), np.uint64((1 << 55) - 1)
_ANONYMOUS, _KSM, _ZERO = (np.uint64(1 << bit) for bit in (12, 21, 24))
_LARGE = np.uint64(1 << 15 | 1 << 16 | 1 << 22)  # first or further page of a large folio; huge page
_OWN_PAGE = 0x40_1000  # of the guest's first process: anonymous, and never mergeable


class Look:
    """Looks at one guest."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._flags = guest.open("/proc/kpageflags")
        own = self._entries("/proc/1/pagemap", _OWN_PAGE // PAGE_SIZE, 1)
        # One kernel calls every anonymous page a KSM page there.
        self._tells_ksm = not self._page_flags(own & _FRAME)[0] & _KSM

    def entries(self, memory: GuestMemory) -> Entries:
        """The page map of a mapping, uint64 (pages,); nothing where it is unmapped."""
        found = self._entries(f"/proc/{memory.pid}/pagemap", BASE // PAGE_SIZE, memory.pages)
        found[~memory.mapped] = 0
        return found

    def frames(self, memory: GuestMemory) -> Entries:
        """The frame of each page, 0 where there is none."""
        entries = self.entries(memory)
        return np.where(entries & _PRESENT, entries & _FRAME, np.uint64(0))

    def kinds(self, memory: GuestMemory) -> str:
        """A letter for each page; replay.machine says which."""
        entries = self.entries(memory)
        present = (entries & _PRESENT) != 0
        kinds = np.where(entries & _SWAPPED, "s", ".")
        flags = self._page_flags(entries[present] & _FRAME)
        rest = np.where(flags & _KSM, "k", "a") if self._tells_ksm else np.full(len(flags), "p")
        large = np.where(flags & (_ANONYMOUS | _ZERO) == _ANONYMOUS, "h", "Z")
        kinds[present] = np.where(flags & _LARGE, large, np.where(flags & _ZERO, "z", rest))
        return "".join(kinds)

    def _entries(self, path: str, first: int, pages: int) -> Entries:
        parts = []
        for start in range(0, pages, MOST_PAGES):
            count = min(MOST_PAGES, pages - start)
            calls = self._guest.calls()
            opened, room = calls.add(sys.OPEN, calls.put(path.encode()), 0), calls.room(count * 8)
            calls.add_for(opened, sys.PREAD, room, count * 8, (first + start) * 8)
            calls.add_for(opened, sys.CLOSE)
            self._guest.run(calls)
            parts.append(np.frombuffer(calls.get(room, count * 8), np.uint64))
        return np.concatenate(parts)

    def _page_flags(self, frames: Entries) -> Entries:
        """The flags of /proc/kpageflags of each frame; frames near each other are read together."""
        wanted, inverse = np.unique(frames, return_inverse=True)
        found = np.zeros(len(wanted), np.uint64)
        cuts = np.flatnonzero(np.diff(wanted) > 64) + 1
        groups = [run for run in np.split(np.arange(len(wanted)), cuts) if len(run)]
        for start in range(0, len(groups), 256):
            self._read_flags(wanted, found, groups[start : start + 256])
        return found[inverse]

    def _read_flags(self, wanted: Entries, found: Entries, groups: list[NDArray[np.intp]]) -> None:
        calls, rooms = self._guest.calls(), []
        for group in groups:
            low, count = int(wanted[group[0]]), int(wanted[group[-1]] - wanted[group[0]]) + 1
            rooms.append((calls.room(count * 8), count))
            calls.add(sys.PREAD, self._flags, rooms[-1][0], count * 8, low * 8)
        self._guest.run(calls)
        for group, (room, count) in zip(groups, rooms, strict=True):
            flags = np.frombuffer(calls.get(room, count * 8), np.uint64)
            found[group] = flags[(wanted[group] - wanted[group[0]]).astype(np.int64)]

    def nodes(self, memory: GuestMemory) -> list[int]:
        """The node of each page, or a negative error."""
        return self.move(memory, 0, memory.pages - 1, None, 0)[1]

    def move(self, memory: GuestMemory, lo: int, hi: int, node: int | None, flags: int) -> tuple[int, list[int]]:
        """move_pages: what it returns, and each page's status. node None: only ask."""
        pages = np.arange(lo, hi + 1, dtype=np.uint64)
        addresses = pages * np.uint64(PAGE_SIZE) + np.uint64(address(0))
        calls = self._guest.calls()
        where = calls.put(addresses.tobytes())
        to = 0 if node is None else calls.put(np.full(len(pages), node, np.int32).tobytes())
        status = calls.put(np.full(len(pages), NOT_WRITTEN, np.int32).tobytes())
        calls.add(sys.MOVE_PAGES, memory.pid, len(pages), where, to, status, flags)
        (result,) = self._guest.run(calls)
        return result, np.frombuffer(calls.get(status, 4 * len(pages)), np.int32).tolist()

    def vmstat(self) -> dict[str, int | None]:
        """The counters of /proc/vmstat that scripts print; None: this kernel has none."""
        found = dict(line.split() for line in self._text("/proc/vmstat").splitlines())
        return {name: int(found[name]) if name in found else None for name in VMSTAT}

    def smaps(self, memory: GuestMemory) -> dict[str, int | None]:
        """Figures of a mapping, which may have become several, in KiB; None: this kernel does not say."""
        sums: dict[str, int | None] = dict.fromkeys(SMAPS)
        is_inside = False
        for line in self._text(f"/proc/{memory.pid}/smaps").splitlines():
            name, _, rest = line.partition(" ")
            if not name.endswith(":"):
                is_inside = BASE <= int(name.partition("-")[0], 16) < address(memory.pages)
            elif is_inside and name[:-1] in sums:
                sums[name[:-1]] = (sums[name[:-1]] or 0) + int(rest.split()[0])
        return sums

    def ksm_stat(self, pid: int) -> dict[str, int | str]:
        """The lines of /proc/PID/ksm_stat; none where there is no such file."""
        return _stat_lines(self._text(f"/proc/{pid}/ksm_stat"))

    def process_counters(self, pids: Sequence[int]) -> list[dict[str, int | None]]:
        """The figures of processes that scripts print; None: this kernel has none."""
        found: list[dict[str, int | None]] = []
        for start in range(0, len(pids), _AT_ONCE):
            calls = self._guest.calls()
            names = ("ksm_stat", "ksm_merging_pages")
            files = [[calls.add_read(f"/proc/{pid}/{n}") for n in names] for pid in pids[start : start + _AT_ONCE]]
            results = self._guest.run(calls)
            for stat, merging in files:
                figures = _stat_lines(_decoded(calls.file(stat, results)))
                if alone := _decoded(calls.file(merging, results)):  # of kernels whose ksm_stat has no such line
                    figures.setdefault("ksm_merging_pages", int(alone))
                found.append({name: _number(figures.get(name)) for name in PROCESS_COUNTERS})
        return found

    def _text(self, path: str) -> str:
        return _decoded(self._guest.read(path, 4))


def _decoded(found: bytes | int) -> str:
    return found.decode() if isinstance(found, bytes) else ""


def _stat_lines(text: str) -> dict[str, int | str]:
    lines = (line.replace(":", " ").split() for line in text.splitlines())
    return {name: int(value) if re.fullmatch(r"-?\d+", value) else value for name, value in lines}


def _number(value: int | str | None) -> int | None:
    return value if isinstance(value, int) else None
