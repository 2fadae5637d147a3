"""XLH as a policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vmdedup.host.layout import CTL_HINTS
from vmdedup.host.memory import Host
from vmdedup.ksm.sysfs import TUNABLES, Tunable
from vmdedup.policy.base import Policy
from vmdedup.policy.ksm import Ksm
from vmdedup.policy.xlh import layout
from vmdedup.policy.xlh.check import check_xlh
from vmdedup.policy.xlh.ksmd import HintedKsmd

_OWN = (
    Tunable("hint_stack", 8192, "hints that are kept; the oldest are lost", "hints", low=1, high=1 << 24),
    Tunable("hint_runs", 1, "runs of pages_to_scan pages that serve hints, before", "runs", high=1000),
    Tunable("scan_runs", 1, "runs of linear scan", "runs", low=1, high=1000),
    Tunable("variant", layout.READ_ONLY, "hinted pages wait 0: in the tree; 1: there, read-only; 2: hashed", high=2),
    Tunable("measure_reachable", 0, "whether what waits is searched for when a full scan ends, unbilled", high=1),
)
_COUNTED = {
    "pages_hinted": layout.HINTED,
    "hints_missed": layout.MISSED,
    "found_by_hint": layout.FOUND_BY_HINT,
    "found_by_scan": layout.FOUND_BY_SCAN,
    "found_hinted": layout.WAITED,
    "found_hinted_wait_ms": layout.WAITED_MS,
    "pages_protected": layout.PROTECTED,
    "pages_changed": layout.CHANGED,
}


class Xlh(Ksm):
    """KSM whose scan is interleaved with hints of pages that have just been read from, or written to, a disk.

    The linear part is ksmd as `ksm` has it, with the same tunables; hinted pages count in its scan budget. The paper's
    wake-up of 100 pages is a run of pages_to_scan pages.
    """

    name: ClassVar[str] = "xlh"
    source: ClassVar[str] = "Miller et al., XLH, USENIX ATC 2013; linear scan: Linux 6.18, mm/ksm.c"
    tunables: ClassVar[Mapping[str, Tunable]] = {**TUNABLES, **{tunable.name: tunable for tunable in _OWN}}
    wants_hints: ClassVar[bool] = True

    def __init__(self, host: Host, seed: int = 0) -> None:
        super().__init__(host, seed)
        self._reached = (0, 0)
        host.arrays.ctl[CTL_HINTS] = 1
        for tunable in _OWN:
            self._apply(tunable.name)

    def _make_ksmd(self, host: Host) -> HintedKsmd:
        self._hinted = HintedKsmd(host, self._knobs["hint_stack"])
        return self._hinted

    def scan(self, pages: int) -> int:
        """One batch; it ends at the end of a full scan."""
        hinted = self._hinted
        self.work.count("hint", hinted.gather())
        scans = hinted.full_scans
        scanned = super().scan(pages)
        if hinted.full_scans != scans and self.get("measure_reachable"):
            self._reached = hinted.reachable()
        return scanned

    def get(self, knob: str) -> int:
        """ksmd's tunables, and its own."""
        return super().get(knob) if knob in TUNABLES else self._knobs[knob]

    def set(self, knob: str, text: str) -> None:
        """Write a tunable; it holds from the next page on."""
        if knob in TUNABLES or knob not in self.tunables:
            super().set(knob, text)
        else:
            Policy.set(self, knob, text)
            self._apply(knob)

    def _apply(self, knob: str) -> None:
        value, hinted = self._knobs[knob], self._hinted
        if knob == "hint_stack":
            hinted.stack.resize(value)
        elif knob == "variant":
            hinted.records.st[layout.VARIANT] = value
        elif knob != "measure_reachable":
            setattr(hinted, knob, value)

    def knobs(self) -> dict[str, int]:
        """Every tunable of ksmd, and its own."""
        return {**super().knobs(), **{tunable.name: self._knobs[tunable.name] for tunable in _OWN}}

    def counters(self) -> dict[str, int]:
        """ksmd's; hints and what came of them; what waited, and could be found, when the last full scan ended.

        found_by_hint + found_by_scan are pages merged, so pages_scanned over that is pages visited for each.
        found_hinted of them had been hinted, found_hinted_wait_ms before in all.
        """
        hinted = self._hinted
        return {
            **super().counters(),
            "hints": hinted.hints,
            "hints_lost": hinted.lost + hinted.stack.lost,
            "hints_waiting": len(hinted.stack),
            **{name: int(hinted.records.st[word]) for name, word in _COUNTED.items()},
            "waiting_pages": self._reached[0],
            "waiting_reachable": self._reached[1],
        }

    def check(self) -> None:
        """The hash table's chains too."""
        super().check()
        check_xlh(self._hinted.arrays, self._hinted.records)

    def detach(self) -> None:
        """Nobody wants hints any more."""
        self.host.arrays.ctl[CTL_HINTS] = 0
