"""KSM scripts: text in, checked steps out. docs/scripts.md has the grammar, replay.grammar has it in short.

Everything that can be known without running the script is checked here, so that a script that parses can be played:
only a tunable's value is left to the machine, because a refused write is part of what a script may show.
"""

from __future__ import annotations

import re
from bisect import bisect_right, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vmdedup.errors import ScriptError
from vmdedup.ksm.sysfs import TUNABLES
from vmdedup.replay.content import Content, FilePages, Key, Seed, Zero, file_pages
from vmdedup.replay.grammar import USAGES
from vmdedup.replay.source import Source, read_source
from vmdedup.replay.steps import (
    Counters,
    Digest,
    Discard,
    Exit,
    Fill,
    Fork,
    Mergeable,
    Pass,
    Poke,
    Read,
    Scan,
    Set,
    Sharing,
    Step,
    Unmap,
    Unmergeable,
    Vm,
)
from vmdedup.units import PAGE_SIZE

__all__ = [
    "Counters",
    "Digest",
    "Discard",
    "Exit",
    "Fill",
    "Fork",
    "Mergeable",
    "Pass",
    "Poke",
    "Read",
    "Scan",
    "Script",
    "Set",
    "Sharing",
    "Step",
    "Unmap",
    "Unmergeable",
    "Vm",
    "parse",
    "parse_text",
]

MOST_PAGES = (1 << 47) // PAGE_SIZE  # a process's address space on x86-64
MOST_SCAN = (1 << 32) - 1  # what pages_to_scan can hold
MOST_SAID = 100  # characters of a word that an error repeats

_NUMBER = re.compile(r"0[xX][0-9a-fA-F]{1,99}|[0-9]{1,99}")


@dataclass(frozen=True, slots=True)
class Script:
    """A checked script: its steps in order, and the text that they came from."""

    name: str
    text: str
    steps: tuple[Step, ...]
    sizes: tuple[int, ...]  # pages of each address space, forks included, in order of creation

    def pages(self) -> int:
        """Return the pages of all address spaces together, forks included."""
        return sum(self.sizes)

    def mms(self) -> int:
        """Return the number of address spaces that the script creates, dead ones included."""
        return len(self.sizes)

    def most_alive(self) -> int:
        """Return how many processes live at one time, at most."""
        alive = most = 0
        for step in self.steps:
            alive += isinstance(step, Vm | Fork) - isinstance(step, Exit)
            most = max(most, alive)
        return most

    def line(self, number: int) -> str:
        """The text of a line, counted from 1."""
        return next((line.strip() for at, line in _numbered(self.text) if at == number), "")


@dataclass(slots=True)
class _Space:
    """What the parser knows of one process. holes: unmapped (lo, hi, line of the unmap step), in order, disjoint."""

    pages: int
    exited: int = 0
    holes: list[tuple[int, int, int]] = field(default_factory=list)


def parse(path: str | Path) -> Script:
    """Read and check a script file; "-" is standard input. ScriptError: one line that says where, what, what to do."""
    return _parsed(read_source(path))


def parse_text(text: str, folder: Path, name: str = "<script>") -> Script:
    """Check a script given as text; paths of contents start at `folder`. ScriptError as parse()."""
    return _parsed(Source(name, text, folder))


def _parsed(source: Source) -> Script:
    parser = _Parser(source.folder, source.name)
    for number, line in _numbered(source.text):
        parser.feed(number, line)
    sizes = tuple(space.pages for space in parser.spaces.values())
    return Script(source.name, source.text, tuple(parser.steps), sizes)


def _numbered(text: str) -> Iterator[tuple[int, str]]:
    """Each line and its number, from 1, one at a time: of a large script there is one copy."""
    start, number = 0, 1
    while (end := text.find("\n", start)) >= 0:
        yield number, text[start:end]
        start, number = end + 1, number + 1
    yield number, text[start:]


def _clipped(word: str) -> str:
    """A word of the script as messages have it: not longer than a line can be."""
    return word if len(word) <= MOST_SAID else f"{word[:MOST_SAID]}…"


class _Parser:
    """Checks line after line. spaces: every process so far, in order of creation, dead ones included."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.line = 0
        self.steps: list[Step] = []
        self.spaces: dict[str, _Space] = {}

    def feed(self, number: int, line: str) -> None:
        """Check one line and append its step, if it has one."""
        self.line = number
        words = line.partition("#")[0].split()
        if not words:
            return
        known = _STEPS.get(words[0])
        if known is None:
            raise self.error(f"unknown step {_clipped(words[0])!r}", f"use one of {', '.join(_STEPS)}")
        least, most, read = known
        if not least <= len(words) - 1 <= most:
            raise self.error(f"{words[0]!r} with {len(words) - 1} words after it", f"write: {USAGES[words[0]]}")
        self.steps.append(read(self, words[1:]))

    def error(self, what: str, remedy: str) -> ScriptError:
        """Return the one-line error for the current line."""
        return ScriptError(f"{self.name}:{self.line}: {what}; {remedy}")

    # Words

    def number(self, word: str, what: str, most: int, least: int = 0) -> int:
        """Return a number between least and most."""
        if not _NUMBER.fullmatch(word):
            raise self.error(f"{what} {_clipped(word)!r} is no number", "write it in decimal or as 0x-hexadecimal")
        value = int(word, 16 if word[:2] in ("0x", "0X") else 10)
        if not least <= value <= most:
            raise self.error(f"{what} {word} is out of range", f"give {least} to {most}")
        return value

    def new(self, name: str, space: _Space) -> str:
        """Enter a new process."""
        if name in self.spaces:
            raise self.error(f"name {_clipped(name)!r} is used twice", "give each process a name of its own")
        self.spaces[name] = space
        return name

    def alive(self, name: str) -> _Space:
        """Return a living process."""
        space = self.spaces.get(name)
        if space is None:
            called = _clipped(name)
            raise self.error(f"no process {called!r}", f"start it before with: vm {called} PAGES")
        if space.exited:
            raise self.error(f"process {_clipped(name)!r} has exited in line {space.exited}", "name a living process")
        return space

    def range(self, name: str, word: str) -> tuple[str, int, int]:
        """Return (name, lo, hi) of pages that the process has and has not unmapped."""
        space = self.alive(name)
        low, dots, high = word.partition("..")
        lo = self.page(space, low)
        hi = self.page(space, high) if dots else lo
        if hi < lo:
            raise self.error(f"range {word} is empty", f"write the lower page first: {hi}..{lo}")
        after = bisect_right(space.holes, hi, key=lambda hole: hole[0])  # the first hole that begins behind hi
        for first, last, line in space.holes[max(after - 1, 0) : after]:
            if lo <= last:
                page = max(lo, first)
                raise self.error(f"page {page} of {_clipped(name)!r} is unmapped since line {line}", "leave it out")
        return name, lo, hi

    def page(self, space: _Space, word: str) -> int:
        """Return a page number of a process."""
        return self.number(word, "page", space.pages - 1)

    # Contents

    def content(self, words: list[str], count: int) -> Content:
        """Return the content for `count` pages."""
        match words:
            case ["zero"]:
                return Zero()
            case ["key", word]:
                k, step = self.stepped(word, (1 << 64) - 1)
                if k + step * (count - 1) >= 1 << 64:
                    raise self.error(f"key {word} does not fit in 8 bytes on page {count - 1}", "start lower")
                return Key(k, step)
            case ["seed", word]:
                return Seed(*self.stepped(word, (1 << 64) - 1))
            case ["file", path, *rest] if len(rest) < 2:
                return self.file(path, self.number(rest[0], "file page", 1 << 52) if rest else 0, count)
            case _:
                said = _clipped(" ".join(words))
                raise self.error(f"no content {said!r}", "use zero, key K[+], seed S[+] or file PATH [PAGE]")

    def stepped(self, word: str, most: int) -> tuple[int, int]:
        """Return (number, step) of a number with or without a `+`."""
        step = word.endswith("+")
        return self.number(word[:-1] if step else word, "number", most), int(step)

    def file(self, word: str, page: int, count: int) -> FilePages:
        """Return pages page..page+count-1 of a readable file that has them all."""
        path = self.folder / word
        name = _clipped(str(path))
        try:
            held = file_pages(path, name)
        except ScriptError as error:
            raise self.error(f"file {error}", "give a readable file, its path from the script's folder") from None
        if page + count > held:
            last = page + count - 1
            raise self.error(f"file {name} has {held} pages, page {last} is wanted", "shorten the range")
        return FilePages(path, page)

    # Steps

    def vm(self, words: list[str]) -> Step:
        """vm NAME PAGES"""
        pages = self.number(words[1], "number of pages", MOST_PAGES, least=1)
        return Vm(self.line, self.new(words[0], _Space(pages)), pages)

    def fork(self, words: list[str]) -> Step:
        """fork NAME CHILD"""
        parent = self.alive(words[0])
        child = self.new(words[1], _Space(parent.pages, holes=list(parent.holes)))
        return Fork(self.line, words[0], child)

    def exit(self, words: list[str]) -> Step:
        """exit NAME"""
        self.alive(words[0]).exited = self.line
        return Exit(self.line, words[0])

    def fill(self, words: list[str]) -> Step:
        """fill NAME RANGE CONTENT"""
        name, lo, hi = self.range(words[0], words[1])
        return Fill(self.line, name, lo, hi, self.content(words[2:], hi - lo + 1))

    def poke(self, words: list[str]) -> Step:
        """poke NAME PAGE OFFSET BYTE"""
        self.page(self.alive(words[0]), words[1])
        name, page, _ = self.range(words[0], words[1])
        offset = self.number(words[2], "offset", PAGE_SIZE - 1)
        return Poke(self.line, name, page, offset, self.number(words[3], "byte", 255))

    def unmap(self, words: list[str]) -> Step:
        """unmap NAME RANGE"""
        name, lo, hi = self.range(words[0], words[1])
        insort(self.spaces[name].holes, (lo, hi, self.line))
        return Unmap(self.line, name, lo, hi)

    def set(self, words: list[str]) -> Step:
        """set KNOB VALUE"""
        if words[0] not in TUNABLES:
            raise self.error(f"unknown knob {_clipped(words[0])!r}", f"use one of {', '.join(TUNABLES)}")
        return Set(self.line, words[0], words[1])

    def scan(self, words: list[str]) -> Step:
        """scan N"""
        return Scan(self.line, self.number(words[0], "number of pages", MOST_SCAN))

    def passes(self, words: list[str]) -> Step:
        """pass [N]"""
        return Pass(self.line, self.number(words[0], "number of passes", MOST_SCAN) if words else 1)


_Step = Callable[["_Parser", list[str]], Step]


def _ranged(kind: type[Read | Discard | Mergeable | Unmergeable]) -> _Step:
    """Return the reader of a step that is a name and a range."""
    return lambda parser, words: kind(parser.line, *parser.range(words[0], words[1]))


def _bare(kind: type[Counters | Sharing | Digest]) -> _Step:
    """Return the reader of a step that is one word."""
    return lambda parser, words: kind(parser.line)


_STEPS: dict[str, tuple[int, int, _Step]] = {
    "vm": (2, 2, _Parser.vm),
    "fork": (2, 2, _Parser.fork),
    "exit": (1, 1, _Parser.exit),
    "fill": (3, 5, _Parser.fill),
    "poke": (4, 4, _Parser.poke),
    "read": (2, 2, _ranged(Read)),
    "discard": (2, 2, _ranged(Discard)),
    "unmap": (2, 2, _Parser.unmap),
    "mergeable": (2, 2, _ranged(Mergeable)),
    "unmergeable": (2, 2, _ranged(Unmergeable)),
    "set": (2, 2, _Parser.set),
    "scan": (1, 1, _Parser.scan),
    "pass": (0, 1, _Parser.passes),
    "counters": (0, 0, _bare(Counters)),
    "sharing": (0, 0, _bare(Sharing)),
    "digest": (0, 0, _bare(Digest)),
}
