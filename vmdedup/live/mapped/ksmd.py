"""The kernel's ksmd as a run knows it: in step, exactly so many pages at a time, or running freely.

In step it is parked between two batches (see live.ksm.ksmd), so pages_to_scan and sleep_millisecs in its files are not
the scenario's; what the scenario set is kept here. The scan-time advisor computes here too, from virtual
time, by the emulator's own arithmetic: the kernel's goes by real time, of which a run in step makes no use.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

from vmdedup.errors import GuestError
from vmdedup.ksm.advisor import Advisor
from vmdedup.ksm.prices import Tally
from vmdedup.ksm.sysfs import ADVISOR_MODES, COUNTERS, LASTING, PROCESS_COUNTERS, TUNABLES
from vmdedup.live.ksm.alone import process_counters
from vmdedup.live.ksm.breaks import Breaks
from vmdedup.live.ksm.cpu_clock import cpu_seconds, open_cpu_clock
from vmdedup.live.ksm.knobs import ScriptKnobs
from vmdedup.live.ksm.session import KsmSession
from vmdedup.policy.base import Policy
from vmdedup.policy.ksm import Ksm
from vmdedup.policy.work import PRICES_NS

_SCAN_TIME = ADVISOR_MODES.index("scan-time")


class KernelKsmd:
    """Fills scanner.protocol.Scanner. pids: the process of each address space, filled by whoever starts them."""

    def __init__(self, session: KsmSession) -> None:
        """Bring KSM into the state of a new one, with the default of every tunable."""
        self.pids: dict[int, int] = {}
        self.prices: Mapping[str, float] = PRICES_NS  # its tally is priced; its operations nobody counts
        self._files, self._ksmd = session.files, session.ksmd
        session.start_state()
        self._file_knobs = ScriptKnobs(self._files, self._ksmd)
        self._breaks = Breaks()
        self._knobs = {name: tunable.default for name, tunable in TUNABLES.items()}
        for name in TUNABLES:
            if name != "advisor_mode" and self._files.has(name):
                self.set(name, str(TUNABLES[name].default))
        self._base = {name: self._files.read(name) for name in LASTING}
        self._advisor, self._now_ms, self._cpu_ms = Advisor(), 0, 0
        self._scan_began: int | None = None
        self._is_free = False
        self._clock = open_cpu_clock(self.pid)
        self._cpu_base = cpu_seconds(self._clock)

    @property
    def kind(self) -> type[Policy]:
        """What it is of all that scan."""
        return Ksm

    @property
    def bill_ns(self) -> int:
        """Nothing: what its operations cost is measured."""
        return 0

    @property
    def pid(self) -> int:
        """Process id of the kernel's thread."""
        return self._ksmd.pid

    def enter(self, mm: int) -> None:
        """Nothing: the kernel puts an address space on its list by itself."""

    def exit(self, mm: int) -> None:
        """The process of an address space has ended; the kernel knows."""
        self.pids.pop(mm, None)

    # Tunables

    def get(self, knob: str) -> int:
        """A tunable's value as the scenario set it, or as the advisor has changed it."""
        if self._is_free and knob == "pages_to_scan":
            return self._files.read(knob)
        return self._knobs[knob]

    def set(self, knob: str, text: str) -> None:
        """Write a tunable, while ksmd is in step. KnobError: the kernel refuses it."""
        self._file_knobs.set(knob, text)
        value = TUNABLES[knob].parse(text)
        if knob == "advisor_mode" and value != self._knobs[knob]:
            self._advisor = Advisor()
            start = self._knobs["advisor_min_pages_to_scan"]
            self._knobs["pages_to_scan"] = start if value == _SCAN_TIME else TUNABLES["pages_to_scan"].default
        self._knobs[knob] = value
        if knob == "use_zero_pages" and value:
            self._breaks.forget()

    # In step

    def charge(self, now_ms: int, cpu_ms: int) -> None:
        """Its clock, and the CPU time that it is charged with: the advisor looks at both."""
        self._now_ms, self._cpu_ms = now_ms, cpu_ms

    def scan(self, pages: int) -> int:
        """One batch; returns the pages scanned."""
        scans, scanned = self._files.read("full_scans"), self._files.read("pages_scanned")
        if self._ksmd.batch(pages) and self._scan_began is None:
            self._scan_began = self._now_ms
        if self._files.read("full_scans") != scans:
            self._full_scan_done()
        return self._files.read("pages_scanned") - scanned

    def _full_scan_done(self) -> None:
        began, self._scan_began = self._scan_began, None
        if began is not None and self._knobs["advisor_mode"] == _SCAN_TIME:
            self._knobs["pages_to_scan"] = self._advisor.pages_to_scan(
                self._knobs["pages_to_scan"],
                self._now_ms - began,
                self._cpu_ms,
                self._knobs["advisor_target_scan_time"],
                self._knobs["advisor_max_cpu"],
                self._knobs["advisor_max_pages_to_scan"],
            )

    # Free

    @contextmanager
    def free(self) -> Iterator[KernelKsmd]:
        """Inside, ksmd batches and sleeps as its tunables say, and the kernel's own advisor is at work."""
        self._is_free = True
        try:
            if self._knobs["advisor_mode"] == _SCAN_TIME:
                self._files.write("advisor_mode", ADVISOR_MODES[_SCAN_TIME])
            else:
                self._files.write("pages_to_scan", self._knobs["pages_to_scan"])
            self._files.write("sleep_millisecs", self._knobs["sleep_millisecs"])  # which wakes it
            yield self
        finally:
            self._knobs["pages_to_scan"] = self._files.read("pages_to_scan")
            self._files.write("advisor_mode", ADVISOR_MODES[0])
            self._ksmd.park()
            self._is_free = False

    def standing(self) -> AbstractContextManager[None]:
        """Nothing to wait for: a kernel's ksmd may be asked, and processes come and go, at any time."""
        return nullcontext()

    # Figures

    def counters(self) -> dict[str, int]:
        """The counters of /sys/kernel/mm/ksm by name; pages scanned and skipped since the run began."""
        return {name: self._files.read(name) - self._base.get(name, 0) for name in COUNTERS}

    def ksm_stat(self, mm: int) -> dict[str, int]:
        """The figures of /proc/PID/ksm_stat; all 0 for a process that is gone."""
        try:
            figures = process_counters(self.pids[mm])
        except (KeyError, GuestError):
            return dict.fromkeys(PROCESS_COUNTERS, 0)
        return {name: figures[name] for name in PROCESS_COUNTERS}

    def tally(self) -> Tally:
        """The counters that tell how long a batch takes; so a run in step is in step with the emulator."""
        shared, sharing, unshared, volatile = (
            self._files.read(f"pages_{kind}") for kind in ("shared", "sharing", "unshared", "volatile")
        )
        return Tally(shared, sharing, unshared, volatile, self._files.read("ksm_zero_pages"))

    def work_done(self) -> dict[str, int]:
        """Nothing: the kernel does not count its operations. What they cost is measured."""
        return {}

    def breaks(self) -> int | None:
        """Merged pages of the whole machine that a write found and copied, since the run began; None: nobody knows."""
        return self._breaks.count()

    def cpu_seconds(self) -> float:
        """CPU time that ksmd has really had since the run began."""
        return cpu_seconds(self._clock) - self._cpu_base

    def close(self) -> None:
        """Let go of ksmd's clock; the session puts everything back."""
        os.close(self._clock)
