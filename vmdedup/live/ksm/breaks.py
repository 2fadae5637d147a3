"""Merged pages that a write found and copied: counted by the kernel for the whole machine."""

from __future__ import annotations

from pathlib import Path

_VMSTAT = Path("/proc/vmstat")


class Breaks:
    """How many there have been since this was made. Source: cow_ksm of /proc/vmstat."""

    def __init__(self) -> None:
        self._before = cow_ksm()
        self._are_known = True

    def forget(self) -> None:
        """use_zero_pages was on: a zero page that KSM placed and a write replaced is counted nowhere."""
        self._are_known = False

    def count(self) -> int | None:
        """Since the start; None if the kernel does not count them, or not all of them."""
        now = cow_ksm()
        return now - self._before if self._are_known and now is not None and self._before is not None else None


def cow_ksm() -> int | None:
    """The machine's count; None: this kernel has none."""
    for line in _VMSTAT.read_text().splitlines():
        if line.startswith("cow_ksm "):
            return int(line.split()[1])
    return None
