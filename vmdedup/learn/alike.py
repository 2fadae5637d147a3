"""Whether a dump is of the kind of others: flagged if not, so that nothing is foretold of it.

Of boots of a kind, two things hold whatever their contents are (learn.sharing): what is new in one more boot is no more
than what was new in the last one seen; and of what all boots share it has at least as large a share as the last one
seen had, pages left out that are one boot's own for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vmdedup.learn.boot import Boot
from vmdedup.learn.classes import CLASSES
from vmdedup.learn.sharing import Sharing, by_boots, sharing_of, times_seen

SLACK: Final = 0.05  # share of contents by which boots of one kind may differ at random


@dataclass(frozen=True)
class Likeness:
    """Of a boot against others. new: share of its contents that none of them has, and at most so in one of their kind.

    common: share of what all of them have that it has, and at least so in one of their kind.
    """

    name: str
    new: float
    most_new: float
    common: float
    least_common: float
    same_size: bool

    @property
    def is_other(self) -> bool:
        """Whether it is flagged."""
        too_new, too_little = self.new > self.most_new + SLACK, self.common < self.least_common - SLACK
        return not self.same_size or too_new or too_little

    @property
    def reason(self) -> str:
        """Why, in words."""
        if not self.same_size:
            return f"{self.name} is not of the size of the others"
        new = f"{self.new:.0%} of its contents are new (of this kind at most {self.most_new:.0%})"
        common = f"it has {self.common:.0%} of what all others share (at least {self.least_common:.0%})"
        return f"{self.name} is of another kind: {new}, and {common}"


def likeness(boot: Boot, others: Sequence[Boot], classes: NDArray[np.uint8]) -> Likeness:
    """Hold a boot against two others or more."""
    sharing = sharing_of(others, classes)
    times = times_seen(others, len(classes))
    held = boot.held
    core = np.flatnonzero(times == len(others))
    new = float((times[held] == 0).mean()) if len(held) else 0.0
    common = float(np.isin(core, held).mean()) if len(core) else 1.0
    same_size = all(boot.pages == other.pages for other in others)
    return Likeness(
        boot.name, new, _most_new(sharing), common, _least_common(sharing, by_boots(classes, times)[core]), same_size
    )


def _most_new(sharing: Sharing) -> float:
    held = [sharing.held(number) for number in range(len(CLASSES))]
    new = [float(sharing.unshared(number)[-1]) for number in range(len(CLASSES))]
    return sum(h * u for h, u in zip(held, new, strict=True)) / max(1.0, sum(held))


def _least_common(sharing: Sharing, core: NDArray[np.uint8]) -> float:
    """The mean over the core's pages."""
    if not len(core):
        return 0.0
    least = 0.0
    for number in range(len(CLASSES)):
        shared = sharing.in_all(number)
        chance = float(shared[-1] / shared[-2]) if shared[-2] else 0.0
        least += float((core == number).sum()) * chance
    return least / len(core)


def of_one_kind(boots: Sequence[Boot], classes: NDArray[np.uint8]) -> tuple[list[Boot], list[Likeness]]:
    """The boots of the largest kind, in their order, and what is flagged. Of two, nothing can tell."""
    if len(boots) < 3:
        return list(boots), []
    kind = list(_nearest(boots))
    flagged: list[Likeness] = []
    for boot in boots:
        if any(boot is each for each in kind):
            continue
        found = likeness(boot, kind, classes)
        if found.is_other:
            flagged.append(found)
        else:
            kind.append(boot)
    return [boot for boot in boots if any(boot is each for each in kind)], flagged


def _nearest(boots: Sequence[Boot]) -> tuple[Boot, Boot]:
    """The two that share most."""

    def shared(pair: tuple[Boot, Boot]) -> float:
        one, two = (boot.held for boot in pair)
        return len(np.intersect1d(one, two, True)) / max(1, len(one) + len(two)) + (pair[0].pages == pair[1].pages)

    return max(combinations(boots, 2), key=shared)
