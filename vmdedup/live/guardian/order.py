"""In which order the tunables of the kernel's KSM are put back."""

from __future__ import annotations

from collections.abc import Mapping

from vmdedup.ksm.sysfs import ADVISOR, ADVISOR_MODES, UNMERGED, in_turn, turn_of

Writes = list[tuple[str, str]]  # tunables and their values, one after another
UNMERGING: Writes = [("run", "0"), ("run", "2")]  # only the change to 2 unmerges, and resets


def restoring(saved: Mapping[str, str]) -> tuple[Writes, Writes]:
    """What puts saved tunables back: what is written again and again while pages of dying processes are merged still
    (EBUSY), and what after that.

    The advisor is off until the end: it overwrites pages_to_scan, and refuses to have it written.
    """
    order = in_turn(saved)
    off = [(name, ADVISOR_MODES[0]) for name in order if turn_of(name) == ADVISOR]
    first = [(name, saved[name]) for name in order if turn_of(name) == UNMERGED]
    then = [(name, saved[name]) for name in order if turn_of(name) != UNMERGED]
    return off + UNMERGING + first, [write for write in then if write not in off]
