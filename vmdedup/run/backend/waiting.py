"""How long guests wait for memory, and what share of time that is: a model, as virtual time has no devices.

A guest whose pages come back from swap, or that reclaims memory itself, has waited afterwards: it lives that much less
of the ticks that follow. PSI's shares are made of what guests lose of one tick, as if when they wait had nothing to do
with each other: some, that at least one of them waits, full, that all do. Source of the definitions:
Documentation/accounting/psi.rst.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

DISK_READ_NS: Final = 100_000  # a page of 4 KiB from an SSD, alone: one request at a time, without readahead
DISK_WRITE_NS: Final = 8_000  # to one, among others: 500 MB/s
PACK_NS: Final = 10_000  # lz4 of a page of guests' heaps; unpacking: python -m benchmarks.pressure --prices
UNPACK_NS: Final = 4_000
RECLAIM_NS: Final = 2_000  # to find a page, take it away from who maps it, and free its frame: an assumption


@dataclass
class _Spell:
    """Nanoseconds since the last row: of time, and of it with some, or all guests waiting."""

    time: int = 0
    some: float = 0.0
    full: float = 0.0


class Waiting:
    """Who has waited, and has not lost the time yet. lost_ns: of all guests, so far; lived_ns: ticks of all guests."""

    def __init__(self) -> None:
        self._debts: dict[int, int] = defaultdict(int)
        self._shares: list[float] = []  # of the tick at hand
        self._spell = _Spell()
        self.lost_ns = 0
        self.lived_ns = 0

    def charge(self, mm: int, nanoseconds: int) -> None:
        """A guest has waited so long."""
        self._debts[mm] += nanoseconds

    def time_left(self, mm: int, nanoseconds: int) -> int:
        """What a guest lives of a tick."""
        lost = min(self._debts.get(mm, 0), nanoseconds)
        if lost:
            self._debts[mm] -= lost
        self.lost_ns += lost
        self.lived_ns += nanoseconds
        self._shares.append(lost / nanoseconds if nanoseconds else 0.0)
        return nanoseconds - lost

    def forget(self, mm: int) -> None:
        """A guest is gone; its number may be another's."""
        self._debts.pop(mm, None)

    def end_tick(self, nanoseconds: int) -> None:
        """All guests have had their tick."""
        nobody, everybody = 1.0, 1.0
        for share in self._shares:
            nobody *= 1 - share
            everybody *= share
        self._spell.time += nanoseconds
        self._spell.some += (1 - nobody) * nanoseconds
        self._spell.full += everybody * nanoseconds if self._shares else 0.0
        self._shares = []

    def row(self) -> Mapping[str, float]:
        """Columns of a row, and of the next one from now on."""
        spell, self._spell = self._spell, _Spell()
        return {
            "waited_s": round(self.lost_ns / 1e9, 6),
            "memory_some": round(spell.some / max(1, spell.time), 6),
            "memory_full": round(spell.full / max(1, spell.time), 6),
        }
