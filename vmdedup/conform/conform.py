"""Find in what a kernel differs from a version of Linux: scripts by subject, and each difference by its smallest script.

A difference that a behaviour of another version explains is named so, and taken for granted from there on, so that what
else differs shows by itself. What nothing explains is kept by subject.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from vmdedup.conform.shrink import Lines, Shrinker
from vmdedup.conform.sides import Sides
from vmdedup.conform.suite import Item
from vmdedup.ksm.profile import BEHAVIOUR, Profile
from vmdedup.ksm.sysfs import COUNTERS, PROCESS_COUNTERS, START
from vmdedup.replay.compare import Difference
from vmdedup.replay.script import Script

FILES = "files"
MOST_UNEXPLAINED = 2  # differences of one subject that are shrunk

Note = Callable[[str], None]


@dataclass(frozen=True)
class Found:
    """A difference. cause: a behaviour of ksm.profile, `files`, or nothing. shown: the first lines that differ."""

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
            script = self._sides.script(item.text, item.folder)
            if script is None or not self._sides.is_for_both(script, self._wanted):
                self.report.left_out += 1
                continue
            self._count(item, script)
            self._hunt(item, script)
        return self.report

    def _files(self) -> None:
        """Files that one side lacks are one difference, and are lacked by both from here on."""
        steps = ("vm a 1", "counters", *(f"set {knob} {value}" for knob, value in START.items()))
        script = self._script(steps)
        shown = self._sides.difference(script, Path(), self._now) if script else None
        lacking = frozenset(self._sides.lacking(script) if script else ())
        names = {*COUNTERS, *PROCESS_COUNTERS, *START}
        other = {name for name in names if self._now.has(name) == (name in lacking)}
        if other and shown:
            kept = (*steps[:2], *(f"set {knob} {START[knob]}" for knob in START if knob in other))
            self.report.found.append(Found(FILES, (FILES,), ", ".join(sorted(other)), kept, shown))
        self._wanted = self._now = replace(self._now, otherwise=self._now.otherwise ^ other)

    def _count(self, item: Item, script: Script) -> None:
        differs = self._sides.difference(script, item.folder, self._wanted) is not None
        for subject in item.subjects:
            tally = self.report.tallies.setdefault(subject, Tally())
            tally.scripts += 1
            tally.differ += differs

    def _hunt(self, item: Item, script: Script) -> None:
        """Find all that differs in a script: each difference that is explained may uncover another."""
        while self._sides.difference(script, item.folder, self._now) is not None:
            if self._has_enough(item):
                return
            self._note(f"{item.name} differs: shrinking")
            lines = Shrinker(lambda lines: self._shown(lines, item.folder) is not None).shrink(
                tuple(script.text.splitlines())
            )
            shown = self._shown(lines, item.folder)
            if shown is None:
                return  # it cannot be told what differs, since it does not differ again
            cause = self._explain(lines, item.folder)
            self.report.found.append(Found(cause, item.subjects, item.name, lines, shown))
            if not cause:
                return
            self._now = replace(self._now, otherwise=self._now.otherwise ^ {cause})

    def _has_enough(self, item: Item) -> bool:
        """Whether as many differences without a cause are known of all its subjects as are shrunk."""
        counts = [sum(s in one.subjects and not one.cause for one in self.report.found) for s in item.subjects]
        return min(counts) >= MOST_UNEXPLAINED

    def _explain(self, lines: Lines, folder: Path) -> str:
        """The behaviour of another version that makes both equal; nothing, if none does."""
        script = self._script(lines, folder)
        for behaviour in BEHAVIOUR if script else ():
            other = replace(self._now, otherwise=self._now.otherwise ^ {behaviour})
            if script and self._sides.difference(script, folder, other) is None:
                return behaviour
        return ""

    def _shown(self, lines: Lines, folder: Path) -> Difference | None:
        script = self._script(lines, folder)
        return self._sides.difference(script, folder, self._now) if script else None

    def _script(self, lines: Lines, folder: Path = Path()) -> Script | None:
        return self._sides.script("".join(f"{line}\n" for line in lines), folder)
