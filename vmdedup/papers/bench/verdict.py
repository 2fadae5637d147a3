"""A paper's figure beside ours, and what is to be said of the two.

The rule is declared with each row before anything is measured: how far apart the two may be, and which ordering or
direction of the paper the row stands in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

AGREES: Final = "agrees"
OTHER_LEVEL: Final = "same ordering, other level"
DISAGREES: Final = "disagrees"
UNPUBLISHED: Final = "no figure published"


@dataclass(frozen=True)
class Row:
    """One figure. within: the largest difference that is agreement, in the unit; none: the level is not comparable.

    claim: the paper's ordering or direction in which the row stands, in words; holds: whether ours has it, too.
    """

    figure: str
    unit: str
    paper: float | None
    ours: float
    within: float | None = None
    claim: str = ""
    holds: bool | None = None

    @property
    def difference(self) -> float | None:
        """Ours less the paper's."""
        return None if self.paper is None else self.ours - self.paper

    @property
    def verdict(self) -> str:
        """agrees: level within the limit, and the claim holds; other level: the claim alone; else disagrees."""
        if self.holds is False:
            return DISAGREES
        if self.difference is None:
            return AGREES if self.holds else UNPUBLISHED
        if self.within is not None and abs(self.difference) <= self.within:
            return AGREES
        return OTHER_LEVEL if self.holds else DISAGREES

    @property
    def rule(self) -> str:
        """What the verdict goes by, in words."""
        level = f"level within {self.within:g} {self.unit}" if self.within is not None else "level not compared"
        return f"{level}; {self.claim}" if self.claim else level

    def document(self) -> dict[str, Any]:
        """The row as --json has it."""
        difference = None if self.difference is None else round(self.difference, 4)
        names = ("figure", "unit", "paper", "within", "claim", "holds", "verdict", "rule")
        return {name: getattr(self, name) for name in names} | {"ours": round(self.ours, 4), "difference": difference}
