"""The oracle as a machine that scripts are played on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from oracle import counters, faults, huge, memory, nodes, rmap, scan, stable, swap
from oracle.knobs import SINCE, parse
from oracle.objects import HUGE as HUGE_PAGES
from oracle.objects import Frame, Ksm, Mm
from vmdedup.errors import KnobError, RefusedError
from vmdedup.replay.content import Content, pages_of
from vmdedup.replay.machine import COMMON
from vmdedup.replay.steps import ANY, HUGE, MERGE_ANY, MERGEABLE, Options


class OracleMachine:
    """Fills vmdedup.replay.machine.Machine. clock: milliseconds, for the pruning of chains; stands still.

    version: of Linux, whose ksmd it is. nodes: NUMA nodes.
    """

    def __init__(
        self, clock: Callable[[], int] = lambda: 0, version: tuple[int, int] = (6, 18), nodes: int = 1
    ) -> None:
        self.ksm = Ksm(clock, version, nodes=nodes)
        self.living: dict[str, Mm] = {}
        self.cgroup_members: set[str] = set()
        self.timing = "gone"  # what becomes of pages that are reclaimed: also "cached", or "left" where they are

    def vm(self, name: str, pages: int, options: Options = COMMON) -> None:
        """Start a process with one mapping, advised as its options say."""
        mm = self.living[name] = Mm(name, pages, self.ksm.zero, options.node or 0)
        if options.size != ANY:
            (mm.huge if options.size == HUGE else mm.nohuge).update(mm.mapped)
        if options.merge == MERGEABLE:
            faults.advise(self.ksm, mm, mm.mapped)
        elif options.merge == MERGE_ANY:
            self.prctl(name, True)

    def fork(self, name: str, child: str) -> None:
        """Fork a process."""
        self.living[child] = faults.fork(self.ksm, self.living[name], child)
        if name in self.cgroup_members:
            self.cgroup_members.add(child)

    def exit(self, name: str) -> None:
        """End a process."""
        self.cgroup_members.discard(name)
        faults.leave(self.ksm, self.living.pop(name))

    def execute(self, name: str, mergeable: bool) -> None:
        """execve: another address space; where all is to be merged, ksmd knows of it before the old one ends."""
        old = self.living[name]
        mm = self.living[name] = Mm(name, old.pages, self.ksm.zero, old.home)
        mm.nohuge, mm.merges_all = set(mm.mapped), old.merges_all
        if mm.merges_all:
            faults.merge_all(self.ksm, mm)
        faults.leave(self.ksm, old)
        if mergeable:
            faults.advise(self.ksm, mm, mm.mapped)

    def prctl(self, name: str, on: bool) -> None:
        """PR_SET_MEMORY_MERGE. RefusedError: Linux before 6.4 does not know it."""
        if self.ksm.version < (6, 4):
            raise RefusedError("PR_SET_MEMORY_MERGE", "EINVAL")
        mm = self.living[name]
        if on and not mm.merges_all:
            faults.merge_all(self.ksm, mm)
        elif mm.merges_all and not on:
            faults.unadvise(self.ksm, mm, mm.mapped)
        mm.merges_all = on

    def status(self, name: str) -> dict[str, Any]:
        """PR_GET_MEMORY_MERGE, and /proc/PID/ksm_stat."""
        return counters.status(self.ksm, self.living[name])

    def node(self, name: str, node: int) -> None:
        """mbind(MPOL_BIND). RefusedError: the mapping has a hole."""
        mm = self.living[name]
        if len(mm.mapped) < mm.pages:
            raise RefusedError("mbind", "EFAULT")
        mm.home = node

    def migrate(self, name: str, lo: int, hi: int, node: int, everyone: bool) -> tuple[int, list[int]]:
        """move_pages(2)."""
        living = list(self.living.values())
        return nodes.move(self.ksm, living, self.living[name], range(lo, hi + 1), node, everyone)

    def nodes(self) -> dict[str, list[int]]:
        """The NUMA node of each page."""
        return {name: [nodes.where(self.ksm, mm, page) for page in range(mm.pages)] for name, mm in self.living.items()}

    def fill(self, name: str, lo: int, hi: int, content: Content) -> None:
        """Store a content in every page of a range."""
        for first, block in pages_of(content, lo, hi):
            for page, data in enumerate(block, start=first):
                faults.write(self.ksm, self.living[name], page, 0, data.tobytes())

    def poke(self, name: str, page: int, offset: int, byte: int) -> None:
        """Store one byte."""
        faults.write(self.ksm, self.living[name], page, offset, bytes([byte]))

    def read(self, name: str, lo: int, hi: int) -> None:
        """Load a byte of each page."""
        for page in range(lo, hi + 1):
            faults.read(self.ksm, self.living[name], page)

    def discard(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_DONTNEED)."""
        huge.discard(self.ksm, self.living[name], lo, hi)

    def unmap(self, name: str, lo: int, hi: int) -> None:
        """munmap."""
        faults.munmap(self.ksm, self.living[name], lo, hi)

    def mergeable(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_MERGEABLE)."""
        faults.advise(self.ksm, self.living[name], range(lo, hi + 1))

    def unmergeable(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_UNMERGEABLE)."""
        faults.unadvise(self.ksm, self.living[name], range(lo, hi + 1))

    def hugepage(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_HUGEPAGE)."""
        mm, pages = self.living[name], set(range(lo, hi + 1))
        mm.huge, mm.nohuge = mm.huge | pages, mm.nohuge - pages
        huge.split_at_ends(self.ksm, mm)

    def nohugepage(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_NOHUGEPAGE)."""
        mm, pages = self.living[name], set(range(lo, hi + 1))
        mm.huge, mm.nohuge = mm.huge - pages, mm.nohuge | pages
        huge.split_at_ends(self.ksm, mm)

    def collapse(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_COLLAPSE)."""
        if not huge.collapse(self.ksm, self.living[name], lo, hi):
            raise RefusedError("collapse", "EINVAL")

    def pageout(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_PAGEOUT)."""
        for page in range(lo, hi + 1):
            swap.page_out(self.ksm, self.living.values(), self.living[name], page)

    def cgroup(self, name: str) -> None:
        """Put a process into the cgroup."""
        self.cgroup_members.add(name)

    def reclaim(self, size: int) -> None:
        """memory.reclaim. RefusedError: Linux before 5.19 has none."""
        if self.ksm.version < (5, 19):
            raise RefusedError("memory.reclaim", "ENOENT")
        members = [mm for name, mm in self.living.items() if name in self.cgroup_members]
        swap.reclaim(self.ksm, list(self.living.values()), members, size, self.timing)

    def swapon(self, device: str) -> None:
        """Have swap."""
        self.ksm.swap = self.ksm.swap or device

    def swapoff(self) -> None:
        """Have none."""
        swap.off(self.ksm, self.living.values())

    def sys(self, file: str, value: str) -> None:
        """Write a file of huge pages."""
        name = file.rpartition("/")[2]
        if "/khugepaged/" in file:
            self.ksm.khugepaged[name] = int(value)
        elif file.endswith("transparent_hugepage/enabled"):
            self.ksm.thp = value
        else:
            raise RefusedError(file, "ENOENT")

    def wait(self, milliseconds: int) -> None:
        """Time for khugepaged, unless it sleeps."""
        if self.ksm.khugepaged.get("scan_sleep_millisecs", 1 << 32) < milliseconds:
            huge.khugepaged(self.ksm, self.living.values())

    def kinds(self) -> dict[str, str]:
        """What each page is mapped by."""
        return {
            name: "".join(memory.kind(self.ksm, mm, page) for page in range(mm.pages))
            for name, mm in self.living.items()
        }

    def mem(self) -> dict[str, Any]:
        """vmstat, and what each mapping takes."""
        return memory.figures(self.ksm, self.living)

    def set(self, knob: str, value: str) -> None:
        """Write a tunable. KnobError: EINVAL, ERANGE, EBUSY, or ENOENT: this version has none."""
        knobs = self.ksm.knobs
        if self.ksm.version < SINCE.get(knob, (0, 0)):
            raise KnobError(knob, value, "ENOENT")
        if knob == "pages_to_scan" and knobs.advisor_mode != "none":
            raise KnobError(knob, value, "EINVAL")
        new = parse(knob, value)
        if new == getattr(knobs, knob):
            return
        if knob in ("max_page_sharing", "merge_across_nodes"):
            merged = any(item.node is not None for item in self.ksm.items())
            if merged or not stable.remove_all(self.ksm):
                raise KnobError(knob, value, "EBUSY")
        setattr(knobs, knob, new)
        if knob == "advisor_mode":
            knobs.pages_to_scan = knobs.advisor_min_pages_to_scan if new == "scan-time" else 100
        if knob == "run" and new == 2:
            self._unmerge_everything()

    def scan(self, pages: int) -> None:
        """One batch."""
        if self.ksm.knobs.run == 1:
            scan.batch(self.ksm, pages)

    def full_pass(self, times: int = 1) -> None:
        """Scan to the end of the full scan, so many times; nothing happens while nobody is on the list."""
        for _ in range(times):
            before = self.ksm.seqnr
            while self.ksm.knobs.run == 1 and self.ksm.mms and self.ksm.seqnr == before:
                scan.batch(self.ksm, 1000)

    def counters(self) -> dict[str, Any]:
        """The counters, in the order of the specification."""
        return counters.system(self.ksm, self.living.values())

    def sharing(self) -> list[list[str]]:
        """Groups of pages that map one frame."""
        groups: dict[tuple[Frame, int], list[str]] = {}
        for name, mm in self.living.items():
            for page, frame in mm.ptes.items():
                part = 1 + page % HUGE_PAGES if frame is mm.zero and page // HUGE_PAGES in mm.pmds else 0
                groups.setdefault((frame, part), []).append(f"{name}:{page}")
        return sorted(sorted(group) for group in groups.values() if len(group) > 1)

    def digest(self) -> dict[str, str]:
        """SHA-256 of each living process's mapped pages; reading them maps the untouched ones."""
        return {
            name: hashlib.sha256(b"".join(faults.read(self.ksm, mm, page) for page in sorted(mm.mapped))).hexdigest()
            for name, mm in self.living.items()
        }

    def close(self) -> None:
        """Nothing to give back."""

    def _unmerge_everything(self) -> None:
        """run=2: private copies for all, no items, no stable nodes but those that somebody unknown maps."""
        ksm = self.ksm
        for mm in list(ksm.mms):
            for page in mm.mergeable:
                faults.unshare(ksm, mm, page)
            rmap.free_from(ksm, mm, 0)
            if not mm.alive:
                ksm.mms.remove(mm)
                mm.on_list = False
        stable.remove_all(ksm)
        ksm.cursor, ksm.next_page, ksm.list_pos, ksm.seqnr = None, None, 0, 0
