"""From where guests are to where a plan has them: who moves, how much that copies, how long it takes.

A guest that moves is copied once, all of it: what it writes meanwhile, and must be copied again, is not modelled. One
move at a time. On its new host nothing of it is shared until the scanner there has come by.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from vmdedup.place.fleet import Fleet
from vmdedup.place.plan import NOWHERE, Plan
from vmdedup.units import PAGE_SIZE


@dataclass(frozen=True)
class Moves:
    """guests: who moves, in order. pages: that are copied. seconds: of copying, one after the other."""

    guests: tuple[int, ...]
    pages: int
    seconds: float


def moves(fleet: Fleet, before: Sequence[object], plan: Plan, bytes_a_second: int) -> Moves:
    """The fewest bytes moved: each host of the plan is the host of before with which it has most in common.

    before: of each guest, any name of its host; NOWHERE: it is on none yet, and placing it is no move.
    """
    shared: Counter[tuple[object, int]] = Counter()
    for guest, (old, new) in enumerate(zip(before, plan.where, strict=True)):
        if NOWHERE not in (old, new):
            shared[old, new] += int(fleet.pages[guest])
    same: dict[object, int] = {}
    for (old, new), _ in shared.most_common():
        if old not in same and new not in same.values():
            same[old] = new
    going = tuple(
        guest
        for guest, (old, new) in enumerate(zip(before, plan.where, strict=True))
        if NOWHERE not in (old, new) and same.get(old) != new
    )
    pages = int(fleet.pages[list(going)].sum())
    return Moves(going, pages, pages * PAGE_SIZE / bytes_a_second)
