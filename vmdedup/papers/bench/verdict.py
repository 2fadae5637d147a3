"""A paper's figure beside ours, and what is to be said of the two.

A level agrees if ours, the mean over the seeds, is no farther from the paper's figure than a fifth of it, or than the
figure may be off by being read off a plot or given as a range. An ordering or direction that the paper states is
claimed by the row, before anything is measured, and holds if it does so with every seed. A row whose input was made
with the very share that is measured says nothing, whatever comes out: it is put in. A claim of no paper is our own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from vmdedup.result.published import Level

LEVEL: Final = "level agrees"
DIRECTION: Final = "direction only"
DISAGREES: Final = "disagrees"
PUT_IN: Final = "put in"
UNPUBLISHED: Final = "no figure published"
OWN_HOLDS: Final = "own claim holds"
OWN_FAILS: Final = "own claim fails"
VERDICTS: Final = (LEVEL, DIRECTION, DISAGREES, PUT_IN, UNPUBLISHED, OWN_HOLDS, OWN_FAILS)
JUDGED: Final = frozenset({LEVEL, DIRECTION, DISAGREES})  # those that say something of us and a paper
NEAR: Final = 0.2  # of a paper's figure


@dataclass(frozen=True)
class Row:
    """One figure of one seed. paper: its level, if it has one.

    claim: an ordering or direction, in words, that the paper states; own: that we do. holds: whether ours has it.
    put_in: the input was made with the share that is measured.
    """

    figure: str
    unit: str
    paper: Level | None
    ours: float
    claim: str = ""
    holds: bool | None = None
    own: bool = False
    put_in: bool = False

    def plain(self) -> dict[str, Any]:
        """The row as a document, without a verdict."""
        return {
            "figure": self.figure,
            "unit": self.unit,
            "paper": None if self.paper is None else [float(self.paper.value), self.paper.error],
            "ours": float(self.ours),
            "claim": self.claim,
            "holds": None if self.holds is None else bool(self.holds),
            "own": self.own,
            "put_in": self.put_in,
        }


def row_of(plain: Mapping[str, Any]) -> Row:
    """The row of such a document."""
    return Row(**{**plain, "paper": None if plain["paper"] is None else Level(*plain["paper"])})


@dataclass(frozen=True)
class Judged:
    """The same row of each seed."""

    rows: tuple[Row, ...]

    @property
    def ours(self) -> float:
        """The mean."""
        return sum(row.ours for row in self.rows) / len(self.rows)

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the most."""
        found = [row.ours for row in self.rows]
        return min(found), max(found)

    @property
    def held(self) -> int:
        """With how many seeds the claim holds."""
        return sum(row.holds is True for row in self.rows)

    @property
    def holds(self) -> bool | None:
        """Whether the claim holds with every seed; None: nothing is claimed."""
        return None if self.rows[0].holds is None else self.held == len(self.rows)

    @property
    def within(self) -> float | None:
        """How far from the paper's level is still agreement, in its unit."""
        paper = self.rows[0].paper
        return None if paper is None else max(NEAR * abs(paper.value), paper.error)

    @property
    def difference(self) -> float | None:
        """Ours less the paper's."""
        paper = self.rows[0].paper
        return None if paper is None else self.ours - paper.value

    @property
    def verdict(self) -> str:
        """One of VERDICTS."""
        row = self.rows[0]
        if row.put_in:
            return PUT_IN
        if row.own:
            return OWN_HOLDS if self.holds else OWN_FAILS
        if self.holds is False:
            return DISAGREES
        if self.difference is None or self.within is None:
            return DIRECTION if self.holds else UNPUBLISHED
        if abs(self.difference) <= self.within:
            return LEVEL
        return DIRECTION if self.holds else DISAGREES

    @property
    def rule(self) -> str:
        """What the verdict goes by, in words."""
        row, parts = self.rows[0], []
        if self.within is not None and row.paper is not None:
            why = "a fifth" if self.within > row.paper.error else "reading or range"
            parts.append(f"level within {self.within:.4g}{f' {row.unit}' if row.unit else ''} ({why})")
        if row.claim:
            often = "" if self.held in (0, len(self.rows)) else f" (with {self.held} of {len(self.rows)} seeds)"
            parts.append(f"{'ours: ' if row.own else ''}{row.claim}{often}")
        return "; ".join(parts) or "nothing claimed"

    def document(self) -> dict[str, Any]:
        """The row as --json has it."""
        row, difference = self.rows[0], self.difference
        low, high = self.spread
        return {
            **{name: getattr(row, name) for name in ("figure", "unit", "claim", "own", "put_in")},
            "paper": None if row.paper is None else row.paper.value,
            "reading_error": None if row.paper is None else row.paper.error,
            **{name: getattr(self, name) for name in ("within", "holds", "verdict", "rule")},
            **{name: round(value, 4) for name, value in (("ours", self.ours), ("low", low), ("high", high))},
            "seeds": len(self.rows),
            "difference": None if difference is None else round(difference, 4),
        }


def judge(findings: Sequence[Sequence[Row]]) -> list[Judged]:
    """The rows of each seed, put together. ValueError: they are not the same figures."""
    if len({tuple(row.figure for row in rows) for rows in findings}) != 1:
        raise ValueError("rows of one experiment differ from seed to seed")
    return [Judged(rows) for rows in zip(*findings, strict=True)]


def counted(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How many rows, as document() gives them, have each verdict, in the order of VERDICTS."""
    found = Counter(row["verdict"] for row in rows)
    return {verdict: found[verdict] for verdict in VERDICTS if found[verdict]}
