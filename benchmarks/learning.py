"""How far what `vmdedup learn` foretells is right: made-up kinds whose truth is known, or dumps of real boots.

    python -m benchmarks.learning                              made-up kinds; about a minute
    python -m benchmarks.learning a1.raw a2.raw a3.raw …       boots of one kind: learnt from every pair of them
    python -m benchmarks.learning --document docs/learning.md  puts the table where that page has it

A case: learnt from two boots (--from), what three to six guests (--most) save is foretold; it is held against what so
many boots do save, those learnt from among them if there are too few others. What is of another kind takes no part.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmdedup.learn.alike import likeness
from vmdedup.learn.boot import Boot
from vmdedup.learn.classes import ADDRESSES, PLAIN
from vmdedup.learn.forecast import forecast, kind_of, saved_by
from vmdedup.learn.sharing import sharing_of
from vmdedup.learn.sources import read_boots

PAGES = 32_768
SPREAD = 0.01  # of what is random in a boot's size


@dataclass(frozen=True)
class MadeUp:
    """Shares of a guest's memory. own: with addresses; data: its own, without any; drawn: read at random, by a law.

    chance: that a guest holds a page of what is drawn from, in the mean. service: held by half of the guests only.
    """

    name: str
    common: float
    own: float
    data: float = 0.0
    drawn: float = 0.0
    chance: float = 0.5
    zipf: bool = False
    service: float = 0.0

    def boots(self, count: int, seed: int) -> tuple[list[Boot], NDArray[np.uint8]]:
        """So many boots, and the class of each content."""
        rng, classes = np.random.default_rng(seed), [np.array([PLAIN], np.uint8)]
        common, chances = self._new(classes, self.common, PLAIN), self._chances()
        files, service = self._new(classes, len(chances) / PAGES, PLAIN), self._new(classes, self.service, PLAIN)
        made = []
        for number in range(count):
            size = 1 + SPREAD * rng.normal()
            parts = [common, files[rng.random(len(files)) < chances * size]]
            parts += [self._new(classes, self.own * size, ADDRESSES), self._new(classes, self.data * size, PLAIN)]
            parts += [service] if rng.random() < 0.5 else []
            contents = np.zeros(PAGES, np.int32)
            held = np.concatenate(parts)[:PAGES]
            contents[: len(held)] = held
            made.append(Boot(f"{self.name} {number}", "made up", contents))
        return made, np.concatenate(classes)

    def _new(self, classes: list[NDArray[np.uint8]], share: float, of: int) -> NDArray[np.int32]:
        """Numbers of so many new contents of a class."""
        first, count = sum(map(len, classes)), round(share * PAGES)
        classes.append(np.full(count, of, np.uint8))
        return np.arange(first, first + count, dtype=np.int32)

    def _chances(self) -> NDArray[np.float64]:
        """Of each page that is drawn from: that a guest holds it."""
        count = round(self.drawn * PAGES / self.chance)
        if not self.zipf:
            return np.full(count, self.chance)
        weights = 1.0 / np.arange(1, count + 1)
        low, high = 0.0, float(count) * count
        for _ in range(100):  # so many draws that the pages held are as many as wanted
            draws = (low + high) / 2
            held = (1 - np.exp(-draws * weights / weights.sum())).sum()
            low, high = (draws, high) if held < self.drawn * PAGES else (low, draws)
        return np.asarray(1 - np.exp(-low * weights / weights.sum()), np.float64)


KINDS = (
    MadeUp("a server whose files all guests read", 0.46, 0.32, data=0.045),
    MadeUp("nothing drawn", 0.50, 0.30),
    MadeUp("data of its own", 0.35, 0.20, data=0.20),
    MadeUp("a file server, reads evenly, a third of all", 0.30, 0.25, drawn=0.25, chance=1 / 3),
    MadeUp("a file server, half of all", 0.30, 0.25, drawn=0.25),
    MadeUp("a file server, by Zipf's law", 0.30, 0.25, data=0.02, drawn=0.25, chance=0.3, zipf=True),
    MadeUp("a build", 0.30, 0.25, data=0.12, drawn=0.08, chance=0.7),
    MadeUp("a service that half of them run", 0.45, 0.30, data=0.03, service=0.03),
)


@dataclass(frozen=True)
class Case:
    """What so many guests save, foretold, low, high and true, per cent."""

    guests: int
    foretold: float
    low: float
    high: float
    true: float

    @property
    def off(self) -> float:
        """Points that the forecast is too high."""
        return self.foretold - self.true

    @property
    def is_inside(self) -> bool:
        """Whether the interval holds the truth."""
        return self.low <= self.true <= self.high


def cases(boots: Sequence[Boot], classes: NDArray[np.uint8], known: int, most: int) -> Iterator[Case]:
    """Learn from the first so many, foretell up to `most`; the truth is of the others, or of all where they are few."""
    rows = forecast(kind_of(boots[:known], sharing_of(boots[:known], classes)), most)
    for guests in range(known + 1, most + 1):
        held_out = boots[known:] if len(boots) - known >= guests else boots
        if len(held_out) < guests:
            return
        some, row = held_out[:guests], rows[guests - 1]
        true = 100 * saved_by(some) / sum(boot.present for boot in some)
        yield Case(guests, row["saved_percent"], row["low_percent"], row["high_percent"], true)


def made_up(kind: MadeUp, rounds: int, known: int, most: int) -> list[Case]:
    """Cases of one kind, from other seeds each."""
    found: list[Case] = []
    for seed in range(rounds):
        boots, classes = kind.boots(known + most, seed)
        found += cases(boots, classes, known, most)
    return found


def real(names: Sequence[str], known: int, most: int) -> list[Case]:
    """Cases of real boots: learnt from every so many of them."""
    lists, contents = read_boots(names, None, False, lambda done, total: None, lambda: False)
    boots = lists[0]
    found: list[Case] = []
    for some in combinations(range(len(boots)), known):
        learnt = [boots[number] for number in some]
        others = [boot for number, boot in enumerate(boots) if number not in some]
        if known > 1:
            others = [boot for boot in others if not likeness(boot, learnt, contents.classes).is_other]
        found += cases([*learnt, *others], contents.classes, known, most)
    return found


def row(name: str, found: Sequence[Case]) -> str:
    """A line of the table."""
    if not found:
        return f"| {name} | 0 | | | | | |"
    off = np.array([case.off for case in found])
    width = np.mean([case.high - case.low for case in found])
    inside = 100 * np.mean([case.is_inside for case in found])
    near = 100 * np.mean(np.abs(off) <= 3)
    figures = f"{off.mean():+.2f} | {np.abs(off).max():.2f} | {near:.0f} | {width:.1f} | {inside:.0f}"
    return f"| {name} | {len(found)} | {figures} |"


HEAD = (
    "| boots | cases | off, mean | at most | within 3 points, % | interval | inside, % |\n|---|---|---|---|---|---|---|"
)
PLACE = "<!-- python -m benchmarks.learning{} -->"


def put(document: Path, which: str, table: str) -> None:
    """Replace what stands below the command's own line in a page."""
    mark = re.escape(PLACE.format(which))
    text = document.read_text()
    document.write_text(re.sub(f"({mark}\n\n)(?:\\|[^\n]*\n)*", lambda found: f"{found[1]}{table}\n", text))


def main() -> None:
    """Print the table, or put it into a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dumps", nargs="*", help="boots of one kind")
    parser.add_argument("--from", dest="known", type=int, default=2, help="boots to learn from")
    parser.add_argument("--most", type=int, default=6, help="guests that are foretold")
    parser.add_argument("--rounds", type=int, default=20, help="seeds of made-up kinds")
    parser.add_argument("--document", type=Path, help="page to put the table into")
    wanted = parser.parse_args()
    if wanted.dumps:
        lines = [row(f"{len(wanted.dumps)} dumps", real(wanted.dumps, wanted.known, wanted.most))]
    else:
        by_kind = [(kind.name, made_up(kind, wanted.rounds, wanted.known, wanted.most)) for kind in KINDS]
        lines = [row(name, found) for name, found in by_kind]
        lines.append(row("all", [case for _, found in by_kind for case in found]))
    table = "\n".join([HEAD, *lines])
    print(table)
    if wanted.document is not None:
        put(wanted.document, f" --from {wanted.known}" + (" DUMPS" if wanted.dumps else ""), table)


if __name__ == "__main__":
    main()
