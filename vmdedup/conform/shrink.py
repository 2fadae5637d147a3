"""Make a script smaller as long as it shows what it is kept for.

Source: Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input, 2002 (delta debugging), by lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

MOST_TRIES = 600
_RANGE = re.compile(r"\b(\d+)\.\.(\d+)\b")

Lines = tuple[str, ...]


class Shrinker:
    """Shrinks one script. shows: whether a script still does; of one that is no script, it says no."""

    def __init__(self, shows: Callable[[Lines], bool]) -> None:
        self._shows = shows
        self._tries = MOST_TRIES
        self._known: dict[Lines, bool] = {}

    def shrink(self, lines: Lines) -> Lines:
        """The smallest found. lines: one that shows it; comments and empty lines go at once."""
        best = tuple(said for line in lines if (said := line.partition("#")[0].strip()))
        while self._tries > 0:
            before = best
            best = self._without_lines(best)
            best = self._simpler(best)
            if best == before:
                break
        return best

    def _without_lines(self, lines: Lines) -> Lines:
        """Leave out ever smaller pieces."""
        size = max(1, len(lines) // 2)
        while True:
            start = 0
            while start < len(lines):
                fewer = lines[:start] + lines[start + size :]
                if self._try(fewer):
                    lines = fewer
                else:
                    start += size
            if size == 1:
                return lines
            size = max(1, size // 2)

    def _simpler(self, lines: Lines) -> Lines:
        """Write lines with less in them."""
        for place in range(len(lines)):
            for line in _simpler(lines[place]):
                other = (*lines[:place], line, *lines[place + 1 :])
                if self._try(other):
                    lines = other
                    break
        return lines

    def _try(self, lines: Lines) -> bool:
        if lines not in self._known:
            if self._tries <= 0 or not lines:
                return False
            self._tries -= 1
            self._known[lines] = self._shows(lines)
        return self._known[lines]


def _simpler(line: str) -> Iterator[str]:
    """The same step on fewer pages, or fewer times; the simplest first."""
    if found := _RANGE.search(line):
        low, high = int(found[1]), int(found[2])
        if low < high:
            yield line[: found.start()] + str(low) + line[found.end() :]
            yield line[: found.start()] + f"{low}..{low + 1}" + line[found.end() :]
            yield line[: found.start()] + f"{low}..{(low + high) // 2}" + line[found.end() :]
    words = line.split()
    if words[0] == "vm" and words[2].isdigit():
        pages = int(words[2])
        for fewer in (1, 2, 3, 4, 6, pages // 2):
            if 0 < fewer < pages:
                yield " ".join([*words[:2], str(fewer), *words[3:]])
    if words[0] in ("pass", "scan") and len(words) == 2 and words[1] not in ("1", "2"):
        yield f"{words[0]} 1"
        yield f"{words[0]} 2"
