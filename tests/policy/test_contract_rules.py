"""Each rule of the contract is broken by somebody, and said to be."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import pytest

from vmdedup.host.frames import alloc_frame
from vmdedup.host.layout import FRAME_MASK, FRAME_SHIFT, PRESENT
from vmdedup.policy.none import NoPolicy
from vmdedup.policy.sharing import share_page
from vmdedup.policy.trial import RULES, failure

NUMBERS: Iterator[int] = itertools.count(1)


class Idle(NoPolicy):
    """Looks at pages, as far as its counters go, and keeps to everything."""

    scanned = 0

    def scan(self, pages: int) -> int:
        """All that it is given."""
        self.scanned += pages
        self.touch(pages)
        return pages

    def touch(self, pages: int) -> None:
        """What it should not do."""

    def counters(self) -> dict[str, int]:
        """What it looked at."""
        return super().counters() | {"pages_scanned": self.scanned}

    def present(self) -> list[int]:
        """Entries with a frame of their own."""
        entries = np.flatnonzero((self.host.arrays.pte & PRESENT) != 0)
        return [entry for entry in entries.tolist() if self.frame(entry)]

    def frame(self, entry: int) -> int:
        """What an entry maps."""
        return (int(self.host.arrays.pte[entry]) >> FRAME_SHIFT) & FRAME_MASK


class Writes(Idle):
    """Into guests' pages."""

    def touch(self, pages: int) -> None:
        """A byte of the first."""
        self.host.arrays.bytes[self.frame(self.present()[0])][0] += 1


class Loses(Idle):
    """Frames that it takes."""

    def touch(self, pages: int) -> None:
        """One each time."""
        alloc_frame(self.host.arrays, 0)


class LosesInTheEnd(Idle):
    """A frame, when it is to let go of all."""

    def detach(self) -> None:
        """Takes one instead."""
        alloc_frame(self.host.arrays, 0)


class Remembers(Idle):
    """Guests that have gone."""

    def exit(self, mm: int) -> None:
        """Not released."""


class Random(Idle):
    """Another number whenever it is asked."""

    def counters(self) -> dict[str, int]:
        """One that never comes again."""
        return super().counters() | {"luck": next(NUMBERS)}


class Eager(Idle):
    """A page more than it may."""

    def scan(self, pages: int) -> int:
        """One more."""
        return super().scan(pages + 1)


class Miscounts(Idle):
    """Says less than it looked at."""

    def scan(self, pages: int) -> int:
        """Half."""
        return super().scan(pages) // 2


class Empties(Idle):
    """Gives pages the zero page, whatever they hold."""

    def touch(self, pages: int) -> None:
        """All that it can."""
        for entry in self.present():
            self.host.arrays.words[self.frame(entry)] = 0
            share_page(self.host.arrays, entry, 0)


class Once(Idle):
    """Cannot follow itself."""

    hosts: ClassVar[set[int]] = set()

    def enter(self, mm: int) -> None:
        """A guest that it has seen in another life."""
        if self.host.arrays.mms[mm]["faults"] and id(self.host) in self.hosts:
            raise RuntimeError("seen before")

    def touch(self, pages: int) -> None:
        """Note where it was."""
        self.hosts.add(id(self.host))


class Silent(Idle):
    """Has no counter of scans."""

    def counters(self) -> dict[str, int]:
        """One is missing."""
        return {name: value for name, value in super().counters().items() if name != "full_scans"}


BREAKERS = [
    ("what guests read never changes", Writes, "pages do not hold what their guests stored"),
    ("its records and the host's are consistent", Loses, "frame"),
    ("all memory comes back when guests have gone", LosesInTheEnd, "frame"),
    ("a guest can leave, and another can come", Remembers, "address space"),
    ("the same seed does the same", Random, "different counters"),
    ("it looks at no more pages than it is given, and counts them", Eager, "asked for 0 pages"),
    ("it looks at no more pages than it is given, and counts them", Miscounts, "pages_scanned says 1"),
    ("whole pages: it never saves more than equal pages allow", Empties, "are possible"),
    ("a new one can take over when it is killed", Once, "seen before"),
    ("counters and tunables are there", Silent, "no full_scans"),
]


def test_every_rule_is_broken_by_somebody() -> None:
    assert {rule for rule, _, _ in BREAKERS} == set(RULES)
    assert {rule: failure(rule, Idle) for rule in RULES} == dict.fromkeys(RULES)


@pytest.mark.parametrize(("rule", "kind", "text"), BREAKERS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_rule_that_is_broken_is_said_to_be(rule: str, kind: type[Idle], text: str) -> None:
    found = failure(rule, kind)
    assert found is not None
    assert text in found
