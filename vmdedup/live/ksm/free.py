"""The kernel's ksmd running by its own tunables: set once, then watched."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from vmdedup.ksm.sysfs import COUNTERS, TUNABLES
from vmdedup.live.ksm.ksmd import find_ksmd
from vmdedup.live.ksm.sysfs import KsmFiles
from vmdedup.live.ksm.timing import cpu_seconds, open_cpu_clock

_SINCE = ("full_scans", "pages_scanned", "pages_skipped")  # shown from where they stood at first
_FIRST, _LAST = ("advisor_mode",), ("pages_to_scan", "run")
_VMSTAT = Path("/proc/vmstat")


class FreeKsmd:
    """Whoever makes it has the lock on KSM, or works for who has it; putting the tunables back is theirs too."""

    def __init__(self, files: KsmFiles) -> None:
        """EnvironmentLacksError: ksmd is not to be seen."""
        self._files = files
        self._clock = open_cpu_clock(find_ksmd())
        self._base = {name: files.read(name) for name in _SINCE}
        self._cpu_base, self._breaks_base = cpu_seconds(self._clock), _breaks()
        self._counts_breaks = True
        self._started_as: int | None = None  # what run was before stop()

    def start(self, tunables: Mapping[str, str]) -> None:
        """Stop ksmd, write all tunables, `run` last. KnobError: the kernel refuses one."""
        self._files.write("run", "0")
        wanted = [name for name in tunables if self._files.has(name)]
        for name in sorted(wanted, key=lambda name: (name in _LAST, name not in _FIRST, name == "run")):
            if name != "pages_to_scan" or tunables.get("advisor_mode", "none") == "none":
                self._files.write(name, tunables[name])
        self._base = {name: self._files.read(name) for name in _SINCE}
        self._cpu_base, self._breaks_base = cpu_seconds(self._clock), _breaks()
        self._counts_breaks = TUNABLES["use_zero_pages"].parse(tunables.get("use_zero_pages", "0")) == 0

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
        """Merged pages of the whole machine that a write found and copied, since the start.

        None if the kernel does not count them; zero pages that KSM placed are not counted, so None with those too.
        Source: cow_ksm of /proc/vmstat.
        """
        now, before = _breaks(), self._breaks_base
        return now - before if self._counts_breaks and now is not None and before is not None else None

    def close(self) -> None:
        """Let go of ksmd's clock."""
        os.close(self._clock)


def _breaks() -> int | None:
    for line in _VMSTAT.read_text().splitlines():
        if line.startswith("cow_ksm "):
            return int(line.split()[1])
    return None
