"""The presets: how much CPU each rung has, and in what time it goes through its slots. Source: uksm 0.1.2.6."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

WHOLE = 10_000  # ratios are in ten-thousandths of a CPU
NS_PER_MS = 1_000_000
PAGE = 1 << 32  # parts of a page that a rung may be owed


@dataclass(frozen=True)
class Governor:
    """One preset.

    ratios: CPU of each rung in ten-thousandths; negative: of max_cpu. cover_ms: time in which a rung's slots are gone
    through by samples. max_cpu: per cent of a CPU.
    """

    name: str
    ratios: tuple[int, int, int, int]
    cover_ms: tuple[int, int, int, int]
    max_cpu: int

    def shares(self) -> list[int]:
        """CPU of each rung, ten-thousandths."""
        most = self.max_cpu * WHOLE // 100
        return [ratio if ratio >= 0 else most * -ratio // WHOLE for ratio in self.ratios]

    def samples(self, page_ns: int) -> list[int]:
        """Samples of a round of each rung, if a page costs so many nanoseconds."""
        pairs = zip(self.shares(), self.cover_ms, strict=True)
        return [cover * NS_PER_MS * share // WHOLE // max(1, page_ns) for share, cover in pairs]


GOVERNORS: Final = (
    Governor("full", (20, 40, -2500, -10_000), (1000, 500, 200, 50), 95),
    Governor("medium", (20, 30, -2500, -10_000), (1000, 500, 400, 100), 50),
    Governor("low", (10, 20, -5000, -10_000), (1500, 1000, 1000, 250), 20),
    Governor("quiet", (10, 20, 40, 75), (2000, 1000, 1000, 1000), 1),
)


class Shares:
    """Divides batches among rungs by their shares; what a batch is too small for is made up for later."""

    def __init__(self, rungs: int) -> None:
        self._credit = [0] * rungs  # pages that each is owed, in parts

    def divide(self, pages: int, shares: list[int]) -> list[int]:
        """Pages of each rung; together exactly so many. A share of 0 gets none. Not all may be 0."""
        total = sum(shares)
        for rung, share in enumerate(shares):
            self._credit[rung] = self._credit[rung] + pages * PAGE * share // total if share else 0
        given, left = [0] * len(shares), pages
        for rung in reversed(range(len(shares))):
            given[rung] = max(0, min(left, self._credit[rung] // PAGE)) if shares[rung] else 0
            left -= given[rung]
        given[max(range(len(shares)), key=lambda rung: (shares[rung] > 0, self._credit[rung]))] += left
        for rung, count in enumerate(given):
            self._credit[rung] -= count * PAGE
        return given
