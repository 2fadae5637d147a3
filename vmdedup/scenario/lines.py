"""The line on which each key of a TOML document stands.

tomllib gives values without lines. This scanner follows a document that tomllib has accepted, so it may be
simple: it reads headers and `key =` at the start of a statement, and steps over values of several lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from vmdedup.scenario.problems import Path

_KEY = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_DOTTED = rf"{_KEY}(?:\s*\.\s*{_KEY})*"
_HEADER = re.compile(rf"\s*(?P<open>\[\[?)\s*(?P<path>{_DOTTED})\s*\]\]?")
_ASSIGNMENT = re.compile(rf"\s*(?P<path>{_DOTTED})\s*=(?P<value>.*)")
_QUOTES = re.compile(r'"""|\'\'\'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#.*|[\[\]{}]')


def key_lines(text: str) -> dict[Path, int]:
    """Line number (from 1) of every table and key that stands on its own; array tables carry their index."""
    lines: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    for number, statement in _statements(text):
        if header := _HEADER.match(statement):
            table = _enter(_split(header["path"]), header["open"] == "[[", counts)
            lines.setdefault(table, number)
        elif assignment := _ASSIGNMENT.match(statement):
            path = table + _split(assignment["path"])
            for length in range(len(table) + 1, len(path) + 1):
                lines.setdefault(path[:length], number)
    return lines


def find_line(lines: Mapping[Path, int], path: Path) -> int:
    """The line of the key, or of the nearest thing around it that has one; 1 if nothing has."""
    for length in range(len(path), 0, -1):
        if (line := lines.get(path[:length])) is not None:
            return line
    return 1


def _enter(names: Path, is_array: bool, counts: dict[Path, int]) -> Path:
    """The path of a header; the parts that are array tables get the index of their latest element."""
    path: Path = ()
    for name in names[:-1]:
        path += (name,)
        if path in counts:
            path += (counts[path],)
    path += names[-1:]
    if not is_array:
        return path
    counts[path] = counts.get(path, -1) + 1
    return (*path, counts[path])


def _split(dotted: str) -> Path:
    return tuple(part.strip().strip("\"'") for part in re.findall(_KEY, dotted))


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """(line, text) of each line that starts a statement, not of those inside a value of several lines."""
    quote, depth = "", 0
    for number, line in enumerate(text.split("\n"), start=1):
        starts_here = not quote and depth == 0
        header = starts_here and _HEADER.match(line)
        if not header:
            quote, depth = _follow(line, quote, depth)
        if starts_here:
            yield number, line


def _follow(line: str, quote: str, depth: int) -> tuple[str, int]:
    """Which multi-line quote is open, and how many brackets are, after this line."""
    rest = line
    while rest:
        if quote:
            _, closed, rest = rest.partition(quote)
            quote = "" if closed else quote
            continue
        match = _QUOTES.search(rest)
        if match is None:
            break
        token, rest = match[0], rest[match.end() :]
        if token in ('"""', "'''"):
            quote = token
        elif token in "[{":
            depth += 1
        elif token in "]}":
            depth -= 1
    return quote, depth
