"""Find in what a kernel differs from a version of Linux: scripts by subject, each difference by its smallest script.

A difference that a behaviour of another version explains is named so, and taken for granted from there on, so that what
else differs shows by itself. What nothing explains is kept by subject.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from vmdedup.conform.shrink import Lines, Shrinker
from vmdedup.conform.sides import STATUS, Kernel, Sides
from vmdedup.conform.suite import Item
from vmdedup.errors import ScriptError
from vmdedup.ksm.profile import BEHAVIOUR, FILES, Profile, profile
from vmdedup.ksm.sysfs import COUNTERS, PROCESS_COUNTERS, START
from vmdedup.replay.compare import Difference
from vmdedup.replay.script import Script, parse_text

WHICH_FILES = "files"
MOST_UNEXPLAINED = 2  # differences of one subject that are shrunk

Note = Callable[[str], None]


@dataclass(frozen=True)
class Found:
    """A difference. cause: a behaviour or a file of ksm.profile, `files`, or nothing. shown: the first that differ."""

    cause: str
    subjects: tuple[str, ...]
    origin: str
    script: Lines
    shown: Difference


@dataclass
class Tally:
    """Scripts of a subject, and how many of them differ."""

    scripts: int = 0
    differ: int = 0


@dataclass
class Report:
    """What came out. left_out: scripts with steps that the emulator does not have."""

    tallies: dict[str, Tally] = field(default_factory=dict)
    found: list[Found] = field(default_factory=list)
    left_out: int = 0

    def count(self, subject: str, differs: bool) -> None:
        """One script more of a subject."""
        tally = self.tallies.setdefault(subject, Tally())
        tally.scripts += 1
        tally.differ += differs

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs."""
        return not self.found


class Conformity:
    """Compares a kernel, step by step, with a profile that becomes more like it with each difference explained."""

    def __init__(self, sides: Sides, profile: Profile, note: Note = lambda text: None) -> None:
        self._sides = sides
        self._wanted = self._now = profile
        self._note = note
        self.report = Report()

    def run(self, items: Iterable[Item]) -> Report:
        """Play all scripts. GuestError: the kernel does not boot."""
        self._files()
        for number, item in enumerate(items, 1):
            self._note(f"script {number}: {item.name}")
            script = _script(tuple(item.text.splitlines()), item.folder)
            try:
                differs = script is not None and self._sides.difference(script, self._wanted) is not None
            except ScriptError:
                self.report.left_out += 1
                continue
            for subject in item.subjects:
                self.report.count(subject, differs)
            if differs:
                self._hunt(item)
        return self.report

    def _files(self) -> None:
        """Files that one side alone has are one difference, and are as the kernel has them from here on."""
        steps = ("vm a 1", "counters", "status a", *(f"set {knob} {value}" for knob, value in START.items()))
        script = _script(steps)
        assert script is not None
        lacking = set(self._sides.lacking(script))
        names = {*COUNTERS, *PROCESS_COUNTERS, *START, *STATUS}
        other = frozenset(name for name in names if self._now.has(name) == (name in lacking))
        shown = self._sides.difference(script, self._now)
        if other and shown:
            kept = (*steps[:3], *(f"set {knob} {value}" for knob, value in START.items() if knob in other))
            self.report.found.append(Found(WHICH_FILES, (WHICH_FILES,), ", ".join(sorted(other)), kept, shown))
        self._wanted = self._now = replace(self._now, otherwise=self._now.otherwise ^ other)

    def _hunt(self, item: Item) -> None:
        """Find all that differs in a script: each difference that is explained may uncover another."""
        lines = tuple(item.text.splitlines())
        while self._shown(lines, item) is not None and not self._has_enough(item):
            self._note(f"{item.name} differs: looking for the smallest script")
            smallest = Shrinker(lambda lines: self._shown(lines, item) is not None).shrink(lines)
            shown = self._shown(smallest, item)
            cause = self._explain(smallest, item)
            if shown is not None:
                self.report.found.append(Found(cause, item.subjects, item.name, smallest, shown))
            if not cause:
                return
            self._now = replace(self._now, otherwise=self._now.otherwise | {cause})

    def _has_enough(self, item: Item) -> bool:
        """Whether as many differences without a cause are known of all its subjects as are shrunk."""
        counts = [sum(s in one.subjects and not one.cause for one in self.report.found) for s in item.subjects]
        return min(counts) >= MOST_UNEXPLAINED

    def _explain(self, lines: Lines, item: Item) -> str:
        """The behaviour, or the file, of another version that makes both equal; nothing, if none does.

        Of several that do, the one with which the whole script is equal for longest.
        """
        before, best, longest = self._now, "", -1
        for behaviour in (*BEHAVIOUR, *FILES):
            if behaviour not in before.otherwise:
                self._now = replace(before, otherwise=before.otherwise | {behaviour})
                if self._shown(lines, item) is None:
                    whole = self._shown(tuple(item.text.splitlines()), item)
                    reached = whole.line if whole else len(item.text)
                    best, longest = (behaviour, reached) if reached > longest else (best, longest)
        self._now = before
        return best

    def _shown(self, lines: Lines, item: Item) -> Difference | None:
        """What differs; nothing either, where the emulator has nothing for a step before anything does."""
        script = _script(lines, item.folder)
        try:
            return self._sides.difference(script, self._now) if script else None
        except ScriptError:
            return None


def conform(kernel: Kernel, version: str, items: Iterable[Item], note: Note = lambda text: None) -> Report:
    """What scripts say of a kernel, as a version of Linux. UsageError: there is no such version.

    kernel: gives a machine for a script, in the start state.
    """
    return Conformity(Sides(kernel), profile(version), note).run(items)


def _script(lines: Lines, folder: Path = Path()) -> Script | None:
    """The script; None: it is none."""
    try:
        return parse_text("".join(f"{line}\n" for line in lines), folder)
    except ScriptError:
        return None
