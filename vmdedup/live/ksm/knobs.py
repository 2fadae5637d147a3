"""A script's `set` steps on the kernel, while stepping ksmd needs some of the same tunables.

Stepping parks pages_to_scan at 0 and keeps sleep_millisecs endless, and neither works under the scan-time
advisor. What scripts can see of these three is only whether a write is refused; so each write really
happens, in the state that the script believes in, and is undone at once. ksmd sleeps meanwhile, or scans
batches of no pages.
"""

from __future__ import annotations

from typing import Protocol

from vmdedup.ksm.sysfs import STARTS, UNMERGED, turn_of


class Files(Protocol):
    """The files of a kernel's KSM: this machine's, or a guest's."""

    def has(self, name: str) -> bool:
        """Whether there is such a file."""

    def write(self, knob: str, value: str | int) -> None:
        """Write a tunable. KnobError: the kernel refuses the value."""

    def choice(self, name: str) -> str:
        """The value of a tunable, as it is written."""


class Stepped(Protocol):
    """A ksmd that scans one batch when it is told."""

    def park(self) -> None:
        """Have it sleep endlessly."""

    def drain(self) -> None:
        """Empty all per-CPU LRU batches."""

    def wait_idle(self) -> None:
        """Return when it sleeps."""


class ScriptKnobs:
    """The tunables as one script sees them; the advisor is none when it starts."""

    def __init__(self, files: Files, ksmd: Stepped) -> None:
        self._files = files
        self._ksmd = ksmd
        self._advisor = "none"

    def set(self, knob: str, value: str) -> None:
        """Write a tunable. KnobError: the kernel refuses it."""
        if turn_of(knob) in (UNMERGED, STARTS):  # what may unmerge: pages in small batches would not be
            self._ksmd.drain()
        if knob in ("pages_to_scan", "advisor_mode"):
            self._set_under_advisor(knob, value)
            return
        try:
            self._files.write(knob, value)
        finally:
            if knob == "sleep_millisecs":
                self._ksmd.park()
            self._ksmd.wait_idle()

    def _set_under_advisor(self, knob: str, value: str) -> None:
        """Write with the script's advisor at work; afterwards it is off again and pages_to_scan parked.

        ksmd must not be about to run: a new process may have woken it for what was to be a batch of no pages.
        """
        self._ksmd.wait_idle()
        has_advisor = self._files.has("advisor_mode")
        if has_advisor:
            self._files.write("advisor_mode", self._advisor)
        try:
            self._files.write(knob, value)
            self._advisor = self._files.choice("advisor_mode") if has_advisor else self._advisor
        finally:
            if has_advisor:
                self._files.write("advisor_mode", "none")
            self._files.write("pages_to_scan", 0)
