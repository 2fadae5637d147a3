"""A script played on a watched emulator: its steps, each with what happened, and all there is after it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vmdedup.errors import ScriptError
from vmdedup.explained.event import Event
from vmdedup.explained.ksmd import WatchedKsmd
from vmdedup.explained.notes import Notes
from vmdedup.explained.state import Pages, State
from vmdedup.explained.trees import Grove
from vmdedup.ksm.profile import DEFAULT, profile
from vmdedup.replay.content import Content, FilePages, Key, Seed, pages_of
from vmdedup.replay.emulated import EmulatedMachine
from vmdedup.replay.machine import LacksStepError
from vmdedup.replay.play import perform
from vmdedup.replay.script import Script
from vmdedup.replay.steps import Fill, Pass, Scan

MOST_STEPS = 50_000


@dataclass(frozen=True, slots=True)
class Told:
    """One step: a line of the script, or ksmd's visit of a page on the way.

    page: which was visited; "" on a line's own step. number: how many had been visited then, this one too.
    says: the step in one line. printed: what the script prints there. note: the comment above the line.
    bytes_compared: in both trees, since the beginning.
    """

    line: int
    text: str
    says: str
    state: State
    page: str = ""
    number: int = 0
    events: tuple[Event, ...] = ()
    printed: Mapping[str, Any] | None = None
    note: str = ""
    bytes_compared: int = 0


class Story:
    """A script, to be played once. contents: what each letter means, of those that have appeared."""

    def __init__(self, script: Script, kernel: str | None = None) -> None:
        """kernel: as of which version of Linux; None: as is usual. UsageError: there is no such version."""
        self.script = script
        self.profile = DEFAULT if kernel is None else profile(kernel)
        self.notes = Notes(script.text)
        self.contents: Mapping[str, str] = {}

    def tell(self, listener: Callable[[Told], None]) -> None:
        """Play it; the listener hears of every step. ScriptError: too many steps, or what the emulator cannot do."""
        with EmulatedMachine(self.script, ksmd=WatchedKsmd, profile=self.profile) as machine:
            teller = _Teller(self, machine, listener)
            self.contents = teller.ksmd.names.meanings
            teller.tell()


class _Teller:
    """Plays one story."""

    def __init__(self, story: Story, machine: EmulatedMachine, listener: Callable[[Told], None]) -> None:
        assert isinstance(machine.ksmd, WatchedKsmd)
        self.ksmd = machine.ksmd
        self._script, self._notes, self._machine, self._listener = story.script, story.notes, machine, listener
        self._pages = Pages(self.ksmd.names)
        self._grove = Grove(self.ksmd.arrays, machine.host.arrays.frames, self.ksmd.names)
        self._scans = self._told = 0
        self._line, self._text, self._note = 0, "", ""
        self.ksmd.told = self._visited

    def tell(self) -> None:
        """Every step in order."""
        for step in self._script.steps:
            self._line, self._text = step.line, self._script.line(step.line)
            self._note = self._notes.above(step.line)
            self.ksmd.names.why = f"stored by line {step.line}"
            if isinstance(step, Fill):
                self.ksmd.names.mean(_meanings(step))
            before = self._pages.now
            try:
                printed = perform(step, self._machine)
            except LacksStepError as lacking:
                raise ScriptError(f"{self._script.name}:{step.line}: {lacking}") from None
            state, scanned = self._state(scanned=False), isinstance(step, Scan | Pass)
            says = f"line {step.line} is done: {self._text}" if scanned else f"line {step.line}: {self._text}"
            events = () if scanned else tuple(_of_pages(before, self._pages.now))
            self._say(says, state, events=events, printed=printed)

    def _say(self, says: str, state: State, **more: Any) -> None:
        self._told += 1
        if self._told > MOST_STEPS:
            raise ScriptError(f"{self._script.name} has more than {MOST_STEPS} steps, with visits of pages; shorten it")
        compared = self.ksmd.calls.bytes_compared
        self._listener(Told(self._line, self._text, says, state, note=self._note, bytes_compared=compared, **more))
        self._note = ""

    def _visited(self, entry: int, events: list[Event]) -> None:
        """ksmd is done with a page, or with a full scan."""
        page = self.ksmd.names.page(entry) if entry else ""
        if any(event.what == "waits" for event in events):
            self._grove.held[entry] = self._content(page)
        shorts = " → ".join(event.short for event in events if event.short)
        counters = self.ksmd.counters()
        number = counters["pages_scanned"]
        says = f"page {number} {page}" if page else f"full scan {counters['full_scans']} is over"
        says += f": {shorts}" if shorts else ""
        self._say(says, self._state(scanned=True), page=page, number=number, events=tuple(events))

    def _content(self, page: str) -> str:
        return self._pages.now[page].content if page in self._pages.now else ""

    def _state(self, scanned: bool) -> State:
        """scanned: ksmd has just looked at a page; else a process has done something."""
        self._pages.look(self._machine.spaces(), stored=not scanned)
        scans = self.ksmd.full_scans
        if scans < self._scans:  # run=2
            self._grove.forget_unstable()
        self._scans = scans
        return State(self._grove.look(scanned), self._pages.now, self._machine.counters())


def _meanings(step: Fill) -> dict[bytes, str]:
    """What contents of a fill are, by their bytes."""
    said: dict[bytes, str] = {}
    for first, block in pages_of(step.content, step.lo, step.hi):
        for at, data in enumerate(block, start=first - step.lo):
            said.setdefault(data.tobytes(), _meaning(step.content, at))
    return said


def _meaning(content: Content, at: int) -> str:
    match content:
        case Key(k, step):
            return f"key {k + at * step}"
        case Seed(s, step):
            return f"seed {(s + at * step) % (1 << 64)}"
        case FilePages(path, page):
            return f"page {page + at} of {path.name}"
        case _:
            return "zeros"


def _of_pages(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Event]:
    """What has become of merged pages because of what processes did."""
    for name, page in now.items():
        was = before.get(name)
        if was is not None and was.kind in "kzZ" and page.kind == "a" and was != page:
            what = f"the merged page {was.content}" if was.kind == "k" else "the zero page"
            yield Event("copied", f"{name} shared {what}: it has a copy of its own now", "", "", "")
