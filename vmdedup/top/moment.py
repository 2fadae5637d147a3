"""One look at a host, as plain values, and what two looks tell of the time between them. Units: MiB and seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from vmdedup.units import PAGE_SIZE, mib

SCHEMA_VERSION: Final = 1
_RATES: Final = ("pages_scanned", "pages_skipped", "full_scans")
SORTS: Final[Mapping[str, str]] = {
    "m": "merged_mib",
    "a": "ram_mib",
    "r": "resident_mib",
    "z": "zero_mib",
    "p": "profit_mib",
    "h": "huge_pages",
    "n": "name",
}
"""Keys, and what they sort guests by."""


@dataclass(frozen=True)
class Seen:
    """A guest. ram, resident, merged, zero: pages. profit: bytes. huge: huge pages that it has left. None: not known.

    other_zeros: pages that map the zero page though KSM did not put it there: split from huge pages, or only read.
    """

    name: str
    ram: int
    resident: int
    merged: int
    zero: int
    profit: int | None = None
    huge: int | None = None
    other_zeros: int | None = None

    def document(self) -> dict[str, Any]:
        """As it is shown."""
        sizes = {"ram": self.ram, "resident": self.resident, "merged": self.merged, "zero": self.zero}
        return {
            "name": self.name,
            **{f"{name}_mib": mib(pages * PAGE_SIZE) for name, pages in sizes.items()},
            "profit_mib": None if self.profit is None else mib(self.profit),
            "huge_pages": self.huge,
            "other_zeros_mib": None if self.other_zeros is None else mib(self.other_zeros * PAGE_SIZE),
        }


@dataclass(frozen=True)
class Moment:
    """A look. at: the host's clock, s. ksm: numbers of KSM's files. cpu: seconds that ksmd has had.

    pairs: frames that two guests have in common, by their names. sample: of so many frames one was looked at.
    took: CPU seconds that the look itself took.
    huge: counters of huge pages. freed: pages of zeros that splits gave back, which the kernel counts nowhere.
    """

    at: float
    kind: str
    ksm: Mapping[str, int]
    cpu: float | None
    guests: Sequence[Seen]
    pairs: Mapping[tuple[str, str], int] = field(default_factory=dict)
    sample: int = 1
    huge: Mapping[str, int] = field(default_factory=dict)
    freed: int | None = None
    took: float = 0.0


def document(now: Moment, before: Moment | None = None) -> dict[str, Any]:
    """A look as a JSON document. before: an earlier look; without one, rates and ksmd's share are null."""
    seconds = now.at - before.at if before is not None else 0.0
    pairs = sorted(now.pairs.items(), key=lambda pair: (-pair[1], pair[0]))
    return {
        "schema_version": SCHEMA_VERSION,
        "host": now.kind,
        "time_s": round(now.at, 3),
        "ksm": dict(now.ksm),
        "rates": {f"{name}_per_s": _rate(now, before, name, seconds) for name in _RATES},
        "ksmd_cpu_percent": _share(now, before, seconds),
        "pass_s": _pass(now, before, seconds),
        "guests": [guest.document() for guest in now.guests],
        "pairs": [{"guests": list(names), "shared_mib": mib(frames * PAGE_SIZE)} for names, frames in pairs if frames],
        "look_cpu_s": round(now.took, 4),
        "frames_sampled": f"1 in {now.sample}",
        "huge": dict(now.huge),
        "freed_by_splits_mib": None if now.freed is None else mib(now.freed * PAGE_SIZE),
    }


def _rate(now: Moment, before: Moment | None, name: str, seconds: float) -> float | None:
    if before is None or seconds <= 0 or name not in now.ksm or name not in before.ksm:
        return None
    return (now.ksm[name] - before.ksm[name]) / seconds


def _share(now: Moment, before: Moment | None, seconds: float) -> float | None:
    if before is None or seconds <= 0 or now.cpu is None or before.cpu is None:
        return None
    return 100 * (now.cpu - before.cpu) / seconds


def _pass(now: Moment, before: Moment | None, seconds: float) -> float | None:
    """Seconds that a full scan takes, if any ended between the two looks."""
    rate = _rate(now, before, "full_scans", seconds)
    return 1 / rate if rate else None
