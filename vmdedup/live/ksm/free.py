"""The kernel's ksmd running by its own tunables: set once, then watched."""

from __future__ import annotations

import os
from collections.abc import Mapping

from vmdedup.ksm.sysfs import ADVISOR_MODES, COUNTERS, LASTING, TUNABLES, in_turn
from vmdedup.live.ksm.breaks import Breaks
from vmdedup.live.ksm.cpu_clock import cpu_seconds, open_cpu_clock
from vmdedup.live.ksm.ksmd import find_ksmd
from vmdedup.live.ksm.sysfs import KsmFiles

_SINCE = ("full_scans", *LASTING)  # shown from where they stood at first


class FreeKsmd:
    """Whoever makes it has the lock on KSM, or works for who has it; putting the tunables back is theirs too."""

    def __init__(self, files: KsmFiles) -> None:
        """EnvironmentLacksError: ksmd is not to be seen."""
        self._files = files
        self._clock = open_cpu_clock(find_ksmd())
        self._base = {name: files.read(name) for name in _SINCE}
        self._cpu_base, self._breaks = cpu_seconds(self._clock), Breaks()
        self._started_as: int | None = None  # what run was before stop()

    def start(self, tunables: Mapping[str, str]) -> None:
        """Stop ksmd, turn its advisor off, write all tunables in turn. KnobError: the kernel refuses one."""
        self._files.write("run", "0")
        if self._files.has("advisor_mode"):
            self._files.write("advisor_mode", ADVISOR_MODES[0])
        for name in in_turn(name for name in tunables if self._files.has(name)):
            self._files.write(name, tunables[name])
        self._base = {name: self._files.read(name) for name in _SINCE}
        self._cpu_base, self._breaks = cpu_seconds(self._clock), Breaks()
        if TUNABLES["use_zero_pages"].parse(tunables.get("use_zero_pages", "0")):
            self._breaks.forget()

    def stop(self) -> None:
        """Have it stop; it has when this returns, and what is merged stays. get("run") says what it was before."""
        self._started_as = self._files.read("run")
        self._files.write("run", "0")

    def get(self, knob: str) -> int:
        """A numeric tunable's value now; of run, while it was not stopped yet."""
        if knob == "run" and self._started_as is not None:
            return self._started_as
        return self._files.read(knob)

    def counters(self) -> dict[str, int]:
        """The counters of /sys/kernel/mm/ksm by name; scans, pages scanned and skipped since the start."""
        return {name: self._files.read(name) - self._base.get(name, 0) for name in COUNTERS}

    def cpu_seconds(self) -> float:
        """CPU time that ksmd has had since the start."""
        return cpu_seconds(self._clock) - self._cpu_base

    def breaks(self) -> int | None:
        """Merged pages of the whole machine that a write found and copied, since the start; None: nobody knows."""
        return self._breaks.count()

    def close(self) -> None:
        """Let go of ksmd's clock."""
        os.close(self._clock)
