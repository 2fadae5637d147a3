"""Recording: a snapshot of every source at each step, on time, kept whole whatever ends it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from vmdedup.errors import DumpError, UsageError
from vmdedup.outputs import check_output
from vmdedup.recording.pause import Pauses
from vmdedup.recording.sources import Source
from vmdedup.recording.writer import Writer

Watch = Callable[[int, str], None]
_DEFAULT_STEPS = 10
_LONGEST = 100 * 365 * 86_400 * 10**9  # nanoseconds
_DYING = 1.0  # seconds from the end of a process's memory to its own


@dataclass
class Outcome:
    """steps: whole ones. ended: "complete", "interrupted", "every guest has gone". notes: a sentence each."""

    steps: int = 0
    ended: str = "complete"
    notes: list[str] = field(default_factory=list)


def steps_of(sources: Sequence[Source], wanted: int | None) -> int:
    """How many steps: as wanted, else as many as the longest series of dumps has, else ten if anything is live."""
    if wanted is not None:
        return wanted
    series = max((source.steps or 0 for source in sources), default=0)
    return max(series, _DEFAULT_STEPS if any(source.pid is not None for source in sources) else 1)


def record(
    sources: Sequence[Source], path: Path, interval_ns: int, steps: int, pause: bool, watch: Watch, force: bool = False
) -> Outcome:
    """Record so many steps, or until Ctrl-C. watch: told the step and the guest before each snapshot.

    pause: live processes stand still while they are looked at. force: replace whatever is at path.

    Closes the sources. Raises VmdedupError; whole steps are kept even then.
    """
    if interval_ns * steps > _LONGEST:
        raise UsageError("the recording would take more than a century; give a shorter --interval, or fewer --steps")
    outcome = Outcome()
    live = [source.pid for source in sources if source.pid is not None]
    with ExitStack() as stack:
        for source in sources:
            stack.callback(source.close)
        check_output(path, force, [file for source in sources for file in source.paths])
        pauses = Pauses(live if pause else (), anyone=pause)
        writer = stack.enter_context(Writer(path, time.time(), force))
        recorder = _Recorder(sources, writer, pauses, watch, outcome)
        try:
            recorder.run(interval_ns, steps, bool(live))
        except KeyboardInterrupt:
            outcome.ended = "interrupted"
        outcome.steps = writer.steps
    return outcome


class _Recorder:
    def __init__(
        self, sources: Sequence[Source], writer: Writer, pauses: Pauses, watch: Watch, outcome: Outcome
    ) -> None:
        self._sources = sources
        self._writer = writer
        self._pauses = pauses
        self._watch = watch
        self._outcome = outcome
        self._gone: set[int] = set()
        for source in sources:
            writer.add_guest(source.name, source.text)

    def run(self, interval_ns: int, steps: int, live: bool) -> None:
        began = time.monotonic_ns()
        for step in range(steps):
            due = step * interval_ns
            if live:
                time.sleep(max(0, began + due - time.monotonic_ns()) / 1e9)
                due = time.monotonic_ns() - began if step else 0
            for number, source in enumerate(self._sources):
                if number not in self._gone:
                    self._watch(step, source.name)
                    self._take(number, source, step)
            self._writer.end_step(due)
            if len(self._gone) == len(self._sources):
                self._outcome.ended = "every guest has gone"
                return

    def _take(self, number: int, source: Source, step: int) -> None:
        try:
            with ExitStack() as stack:
                for pid in source.pids():
                    stack.enter_context(self._pauses.stopped(pid))
                dump = stack.enter_context(source.snapshot(step))
                if dump is not None:
                    self._writer.snapshot(number, dump)
        except (DumpError, ProcessLookupError):
            if not source.is_gone(_DYING):
                raise
            self._bury(number, source, step)

    def _bury(self, number: int, source: Source, step: int) -> None:
        """A process that has ended holds nothing any more."""
        if not step:
            raise DumpError(f"{source.name} ({source.text}) ended before its first snapshot was whole; start again")
        self._gone.add(number)
        self._writer.snapshot(number, None)
        self._outcome.notes.append(f"{source.name} ended before step {step}")
