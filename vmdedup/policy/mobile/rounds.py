"""Going round all areas again and again, at the budget's speed: how the literature's mobile policies scan."""

from __future__ import annotations

from vmdedup.policy.mobile.areas import Area
from vmdedup.policy.mobile.base import MobilePolicy
from vmdedup.policy.mobile.records import PORTION, ROUND
from vmdedup.policy.mobile.visit import visit_by_hash


class RoundPolicy(MobilePolicy):
    """Shares equal pages as KSM does, by hash and content; which pages it looks at is for the policies to say."""

    _area: Area | None = None
    _left: list[Area] = []  # noqa: RUF012 - replaced, never changed
    _at = 0

    def _scan(self, pages: int) -> int:
        looked = 0
        while looked < pages:
            area = self._area or self._next_area()
            if area is None:
                break
            self._area = area
            count = min(PORTION, pages - looked, area.pages - self._at)
            self._visit(area, area.first + self._at, count)
            looked += count
            self._at += count
            if self._at >= area.pages:
                self._area, self._at = None, 0
                self._end_round_if_due()
        return looked

    def _next_area(self) -> Area | None:
        """The next area that is not left out; a round begins with what there is then. None: nothing to look at."""
        if not self._left:
            self._left = [area for area in self.areas() if self._takes(area)]
            self._at = 0
        return self._left.pop(0) if self._left else None

    def _end_round_if_due(self) -> None:
        if not self._left:
            self._rounds += 1
            self._records.settings[ROUND] += 1
            self._end_round()

    def _takes(self, area: Area) -> bool:
        """Whether an area is looked at in this round."""
        return True

    def _group(self, area: Area) -> int:
        """The word of its group: pages are shared within a group only."""
        return 0

    def _visit(self, area: Area, first: int, count: int) -> None:
        rows = int(visit_by_hash(self.host.arrays, self._records, first, count, self._group(area)))
        if rows:
            self._settled(area, self._records.todo[:rows].tolist())

    def _settled(self, area: Area, entries: list[int]) -> None:
        """Pages that settled and have no equal so far."""

    def _end_round(self) -> None:
        """Every area has been visited."""

    def exit(self, mm: int) -> None:
        """What is left of this round is without it."""
        self._left = [area for area in self._left if area.mm != mm]
        if self._area is not None and self._area.mm == mm:
            self._area, self._at = None, 0
        super().exit(mm)
