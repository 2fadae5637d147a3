"""ksmd itself, in this process: tunables, batches, counters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vmdedup.errors import KnobError
from vmdedup.host.layout import CTL_NODES, CTL_RULES
from vmdedup.host.memory import Host
from vmdedup.jit.page import checksum
from vmdedup.ksm import adopt, layout, mm_list, scan, stable, unmerge
from vmdedup.ksm.advisor import Advisor
from vmdedup.ksm.check import check_ksm
from vmdedup.ksm.prices import Tally
from vmdedup.ksm.profile import BEHAVIOUR, DEFAULT, Profile
from vmdedup.ksm.sysfs import COUNTERS, RMAP_ITEM_BYTES, TUNABLES, UNMERGED
from vmdedup.ksm.work import work_done
from vmdedup.late import load

if TYPE_CHECKING:
    from vmdedup.host.mover import Moved
    from vmdedup.ksm.mover import KsmMover

RUN_STOP, RUN_MERGE, RUN_UNMERGE = 0, 1, 2
SCAN_TIME = 1
CHUNK = 1 << 16  # pages scanned between two looks at the outside world
DEFAULT_PAGES_TO_SCAN = TUNABLES["pages_to_scan"].default


class Ksmd:
    """KSM on one host. One of it may work on a host at a time.

    Time is told to it: `now_ms` is its clock, `cpu_ms` the CPU time it is charged with (the advisor looks at both).
    """

    def __init__(self, host: Host, profile: Profile = DEFAULT) -> None:
        """profile: of which version of Linux."""
        self.host = host
        self._h = host.arrays
        nodes = int(self._h.ctl[CTL_NODES])
        self.arrays = layout.make(len(self._h.pte), len(self._h.mms), nodes, self._h.words.shape[1])
        self._knobs = self.defaults()
        self._advisor = Advisor()
        self.cpu_ms = 0
        self._batches = 0
        self._inherited: dict[int, tuple[int, int]] = {}  # what ksm_stat shows beyond what there is (fork)
        self._state("zero_checksum", checksum(self._h.words, 0))
        self.as_of(profile)

    def as_of(self, profile: Profile) -> None:
        """Do from now on as another version of Linux does; what it cannot do is off. Before anything is scanned."""
        self.profile = profile
        self._h.ctl[CTL_RULES] = profile.huge_rules
        for name in BEHAVIOUR.keys() & set(layout.state_dtype.names or ()):
            self._state(name, int(profile.does(name)))
        for name, value in self._knobs.items():
            self._knobs[name] = value if profile.has(name) else 0
            self._apply(name, self._knobs[name])

    def _state(self, field: str, value: int | None = None) -> int:
        if value is not None:
            self.arrays.st[0][field] = value
        return int(self.arrays.st[0][field])

    @property
    def now_ms(self) -> int:
        """Its clock, in ms."""
        return self._state("now")

    @now_ms.setter
    def now_ms(self, now: int) -> None:
        self._state("now", now)

    @staticmethod
    def defaults() -> dict[str, int]:
        """Every tunable's value in a new ksmd."""
        return {name: knob.default for name, knob in TUNABLES.items()}

    def knobs(self) -> dict[str, int]:
        """Every tunable's value now."""
        return dict(self._knobs)

    def charge(self, now_ms: int, cpu_ms: int) -> None:
        """Tell it the time, and the CPU time that it has had."""
        self.now_ms = now_ms
        self.cpu_ms = cpu_ms

    def take_over(self) -> None:
        """Go on, with new records, from a ksmd that has died on this host; counters begin at nothing.

        Nobody may run meanwhile; the host has been recovered.
        """
        adopt.adopt_ksm_frames(self._h, self.arrays)

    def close(self) -> None:
        """Nothing: it has no process of its own to end."""

    def check(self) -> None:
        """Verify trees, lists and counters against each other; raises InvariantError. See ksm.check."""
        check_ksm(self._h, self.arrays)

    def enter(self, mm: int) -> None:
        """An address space has mergeable memory from now on. Source: mm/ksm.c:__ksm_enter."""
        mm_list.enter(self.arrays, mm, self._knobs["run"] == RUN_UNMERGE)

    def fork(self, parent: int, child: int) -> None:
        """An address space has been copied; the copy is scanned if it was."""
        self.arrays.slots[child]["parent"] = parent
        if not self.is_entered(parent):
            return
        self.enter(child)
        if not self.profile.does("fork_starts_anew"):
            self._inherited[child] = self._records(parent)

    def exit(self, mm: int) -> None:
        """An address space has exited. Source: mm/ksm.c:__ksm_exit."""
        self._inherited.pop(mm, None)
        mm_list.leave(self._h, self.arrays, mm)

    def move(self, mm: int, pages: Sequence[int], node: int, everybody: bool) -> Moved:
        """move_pages(2): pages of an address space to a NUMA node, merged ones too; see host.mover."""
        return self._mover().move(mm, pages, node, everybody)

    def relocate(self, mm: int, node: int) -> int:
        """Take an address space to a NUMA node. Returns how many frames stay where they are."""
        return self._mover().relocate(mm, node)

    def unfound(self) -> list[int]:
        """Page table entries that map a KSM frame, but are not found from it: nobody takes it away from them."""
        marked = np.zeros(len(self._h.pte), np.uint8)
        load("vmdedup.ksm.follow:mark_unfound")(self._h, self.arrays, marked)
        return [int(entry) for entry in np.flatnonzero(marked)]

    def _mover(self) -> KsmMover:
        mover: KsmMover = load("vmdedup.ksm.mover:KsmMover")(self.host, self.arrays, self.profile)
        return mover

    def is_entered(self, mm: int) -> bool:
        """Whether ksmd scans the address space (MMF_VM_MERGEABLE)."""
        return bool(self.arrays.slots[mm]["on_list"])

    def should_run(self) -> bool:
        """Whether there is anything to scan, and it may. Source: mm/ksm.c:ksmd_should_run."""
        return self._knobs["run"] & RUN_MERGE != 0 and int(self.arrays.slots[0]["next"]) != 0

    def scan(self, pages: int) -> int:
        """One batch of at most that many pages; ends early at the end of the full scan. Returns pages scanned."""
        done = 0
        scans = self.full_scans
        self._batches += self.should_run()
        while self.should_run() and done < pages and self.full_scans == scans:
            part = self._do_scan(min(CHUNK, pages - done))
            done += part
            if part == 0 and self.full_scans == scans:
                break
        if self.full_scans != scans and self._knobs["advisor_mode"] == SCAN_TIME:
            self._advise()
        return done

    def _do_scan(self, pages: int) -> int:
        return int(scan.ksm_do_scan(self._h, self.arrays, pages))

    def full_scan(self) -> int:
        """Scan to the end of the current full scan. Returns pages scanned."""
        done = 0
        scans = self.full_scans
        while self.should_run() and self.full_scans == scans:
            done += self.scan(CHUNK)
        return done

    @property
    def full_scans(self) -> int:
        """Full scans completed."""
        return self._state("seqnr")

    def _advise(self) -> None:
        self._knobs["pages_to_scan"] = self._advisor.pages_to_scan(
            self._knobs["pages_to_scan"],
            self.now_ms - self._state("scan_start"),
            self.cpu_ms,
            self._knobs["advisor_target_scan_time"],
            self._knobs["advisor_max_cpu"],
            self._knobs["advisor_max_pages_to_scan"],
        )

    def get(self, knob: str) -> int:
        """A tunable's value."""
        return self._knobs[knob]

    def set(self, knob: str, text: str) -> None:
        """Write a tunable as its sysfs file would be written. Raises KnobError with the kernel's refusal."""
        if knob not in TUNABLES or not self.profile.has(knob):
            raise KnobError(knob, text, "ENOENT")
        if not text:
            return  # a write of no bytes never reaches the kernel's file
        value = TUNABLES[knob].parse(text)
        if knob == "run":
            self._set_run(value)
        elif knob == "advisor_mode":
            self._set_advisor_mode(value)
        elif knob == "pages_to_scan" and self._knobs["advisor_mode"] == SCAN_TIME:
            raise KnobError(knob, text, "EINVAL")
        elif TUNABLES[knob].turn == UNMERGED and value != self._knobs[knob] and not self._can_rearrange():
            raise KnobError(knob, text, "EBUSY")
        else:
            self._knobs[knob] = value
            self._apply(knob, value)

    def _apply(self, knob: str, value: int) -> None:
        """Have the kernels see it, if they look at it."""
        if field := TUNABLES[knob].state:
            self._state(field, value)

    def _can_rearrange(self) -> bool:
        """Whether the stable tree could be emptied, which some tunables ask for before they change."""
        if self._state("pages_shared"):
            return False
        return bool(stable.remove_all_stable_nodes(self._h, self.arrays))

    def _set_run(self, value: int) -> None:
        if value == self._knobs["run"]:
            return
        self._knobs["run"] = value
        if value == RUN_UNMERGE and not unmerge.unmerge_and_remove_all_rmap_items(self._h, self.arrays):
            self._knobs["run"] = RUN_STOP
            raise KnobError("run", str(value), "ENOMEM")

    def _set_advisor_mode(self, value: int) -> None:
        if value == self._knobs["advisor_mode"]:
            return
        self._knobs["advisor_mode"] = value
        self._advisor = Advisor()
        if value == SCAN_TIME:
            self._knobs["pages_to_scan"] = self._knobs["advisor_min_pages_to_scan"]
        else:
            self._knobs["pages_to_scan"] = DEFAULT_PAGES_TO_SCAN

    def counters(self) -> dict[str, int]:
        """The counters of /sys/kernel/mm/ksm, by name, in the order of sysfs.COUNTERS."""
        kept = layout.state_dtype.names or ()
        values = {name: self._state(name) for name in COUNTERS if name in kept}
        items = self._state("rmap_items")
        merged = sum(values[name] for name in ("pages_shared", "pages_sharing", "pages_unshared"))
        values["pages_volatile"] = max(0, items - merged)
        values["ksm_zero_pages"] = int(self._h.mms["zero_pages"].sum())
        values["general_profit"] = (
            values["pages_sharing"] + values["ksm_zero_pages"]
        ) * self.host.stands_for - items * RMAP_ITEM_BYTES
        values["full_scans"] = self.full_scans
        return {name: values[name] for name in COUNTERS}

    def tally(self) -> Tally:
        """The counters that tell how long a batch takes (prices.batch_ns)."""
        shared, sharing, unshared = (self._state(f"pages_{kind}") for kind in ("shared", "sharing", "unshared"))
        volatile = max(0, self._state("rmap_items") - shared - sharing - unshared)
        return Tally(shared, sharing, unshared, volatile, int(self._h.mms["zero_pages"].sum()))

    def work_done(self) -> dict[str, int]:
        """How often each operation of the price list was done so far."""
        return work_done(self.arrays, self.host.stands_for, self._batches)

    def ksm_stat(self, mm: int) -> dict[str, int]:
        """The figures of /proc/PID/ksm_stat of an address space."""
        items, merging = self._records(mm)
        zero = int(self._h.mms[mm]["zero_pages"])
        return {
            "ksm_rmap_items": items,
            "ksm_zero_pages": zero,
            "ksm_merging_pages": merging,
            "ksm_process_profit": (merging + zero) * self.host.stands_for - items * RMAP_ITEM_BYTES,
        }

    def _records(self, mm: int) -> tuple[int, int]:
        """ksm_rmap_items and ksm_merging_pages of an address space, as they are shown."""
        slot, more = self.arrays.slots[mm], self._inherited.get(mm, (0, 0))
        return int(slot["rmap_items"]) + more[0], int(slot["merging_pages"]) + more[1]

    def metadata_bytes(self) -> dict[str, int]:
        """Bytes that ksmd's own records really take, by kind."""
        return {
            "rmap_items": self._state("rmap_items") * layout.rmap_item_dtype.itemsize,
            "stable_nodes": (self._state("fresh_node") - 1) * layout.stable_node_dtype.itemsize,
        }
