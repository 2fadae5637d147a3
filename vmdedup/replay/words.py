"""The words of KSM scripts: names, numbers, ranges, contents; and what is known of each process as a script is read."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import Path

from vmdedup.errors import ScriptError
from vmdedup.replay.content import Content, FilePages, Key, Seed, Zero, file_pages

MOST_SAID = 100  # characters of a word that an error repeats

_NUMBER = re.compile(r"0[xX][0-9a-fA-F]{1,99}|[0-9]{1,99}")


@dataclass(slots=True)
class Space:
    """What is known of one process. holes: unmapped (lo, hi, line of the unmap step), in order, disjoint."""

    pages: int
    exited: int = 0
    holes: list[tuple[int, int, int]] = field(default_factory=list)


def clipped(word: str) -> str:
    """A word of the script as messages have it: not longer than a line can be."""
    return word if len(word) <= MOST_SAID else f"{word[:MOST_SAID]}…"


class Words:
    """Reads the words of a script's lines. spaces: every process so far, in order of creation, dead ones included."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.line = 0
        self.spaces: dict[str, Space] = {}

    def error(self, what: str, remedy: str) -> ScriptError:
        """Return the one-line error for the current line."""
        return ScriptError(f"{self.name}:{self.line}: {what}; {remedy}")

    def number(self, word: str, what: str, most: int, least: int = 0) -> int:
        """Return a number between least and most."""
        if not _NUMBER.fullmatch(word):
            raise self.error(f"{what} {clipped(word)!r} is no number", "write it in decimal or as 0x-hexadecimal")
        value = int(word, 16 if word[:2] in ("0x", "0X") else 10)
        if not least <= value <= most:
            raise self.error(f"{what} {word} is out of range", f"give {least} to {most}")
        return value

    def new(self, name: str, space: Space) -> str:
        """Enter a new process."""
        if name in self.spaces:
            raise self.error(f"name {clipped(name)!r} is used twice", "give each process a name of its own")
        self.spaces[name] = space
        return name

    def alive(self, name: str) -> Space:
        """Return a living process."""
        space = self.spaces.get(name)
        if space is None:
            called = clipped(name)
            raise self.error(f"no process {called!r}", f"start it before with: vm {called} PAGES")
        if space.exited:
            raise self.error(f"process {clipped(name)!r} has exited in line {space.exited}", "name a living process")
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
                raise self.error(f"page {page} of {clipped(name)!r} is unmapped since line {line}", "leave it out")
        return name, lo, hi

    def page(self, space: Space, word: str) -> int:
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
                said = clipped(" ".join(words))
                raise self.error(f"no content {said!r}", "use zero, key K[+], seed S[+] or file PATH [PAGE]")

    def stepped(self, word: str, most: int) -> tuple[int, int]:
        """Return (number, step) of a number with or without a `+`."""
        step = word.endswith("+")
        return self.number(word[:-1] if step else word, "number", most), int(step)

    def file(self, word: str, page: int, count: int) -> FilePages:
        """Return pages page..page+count-1 of a readable file that has them all."""
        path = self.folder / word
        name = clipped(str(path))
        try:
            held = file_pages(path, name)
        except ScriptError as error:
            raise self.error(f"file {error}", "give a readable file, its path from the script's folder") from None
        if page + count > held:
            last = page + count - 1
            raise self.error(f"file {name} has {held} pages, page {last} is wanted", "shorten the range")
        return FilePages(path, page)
