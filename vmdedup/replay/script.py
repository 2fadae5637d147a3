"""KSM scripts: text in, checked steps out. docs/scripts.md has the grammar, replay.grammar has it in short.

Everything that can be known without running the script is checked here, so that a script that parses can be played:
only a tunable's value is left to the machine, because a refused write is part of what a script may show.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vmdedup.replay.grammar import USAGES
from vmdedup.replay.readers import READERS
from vmdedup.replay.source import Source, read_source
from vmdedup.replay.steps import Exec, Exit, Fork, Migrate, Node, Step, Vm
from vmdedup.replay.words import Words, clipped


@dataclass(frozen=True, slots=True)
class Script:
    """A checked script: its steps in order, and the text that they came from."""

    name: str
    text: str
    steps: tuple[Step, ...]
    sizes: tuple[int, ...]  # pages of each address space, of forks and of new programs too

    def pages(self) -> int:
        """Return the pages of all address spaces together, forks included."""
        return sum(self.sizes)

    def mms(self) -> int:
        """Return the number of address spaces that the script creates, dead ones included."""
        return len(self.sizes)

    def nodes(self) -> int:
        """Return how many NUMA nodes a machine has that has all that are named."""
        named = [step.node for step in self.steps if isinstance(step, Node | Migrate)]
        named += [step.options.node or 0 for step in self.steps if isinstance(step, Vm)]
        return max(named, default=0) + 1

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


def parse(path: str | Path) -> Script:
    """Read and check a script file; "-" is standard input. ScriptError: one line that says where, what, what to do."""
    return _parsed(read_source(path))


def parse_text(text: str, folder: Path, name: str = "<script>") -> Script:
    """Check a script given as text; paths of contents start at `folder`. ScriptError as parse()."""
    return _parsed(Source(name, text, folder))


def _parsed(source: Source) -> Script:
    words, steps = Words(source.folder, source.name), list[Step]()
    for number, line in _numbered(source.text):
        words.line = number
        if said := line.partition("#")[0].split():
            steps.append(_step(words, said))
    sizes = [space.pages for space in words.spaces.values()]
    sizes += [words.spaces[step.name].pages for step in steps if isinstance(step, Exec)]
    return Script(source.name, source.text, tuple(steps), tuple(sizes))


def _step(words: Words, said: list[str]) -> Step:
    """The step that a line says."""
    known = READERS.get(said[0])
    if known is None:
        raise words.error(f"unknown step {clipped(said[0])!r}", f"use one of {', '.join(READERS)}")
    least, most, read = known
    if not least <= len(said) - 1 <= most:
        raise words.error(f"{said[0]!r} with {len(said) - 1} words after it", f"write: {USAGES[said[0]]}")
    return read(words, said[1:])


def _numbered(text: str) -> Iterator[tuple[int, str]]:
    """Each line and its number, from 1, one at a time: of a large script there is one copy."""
    start, number = 0, 1
    while (end := text.find("\n", start)) >= 0:
        yield number, text[start:end]
        start, number = end + 1, number + 1
    yield number, text[start:]
