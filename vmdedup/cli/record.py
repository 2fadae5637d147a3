"""vmdedup record SOURCE…: the memory of live guests over time, in one file that emulated guests can live again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmdedup.cli.say import Progress, say, say_document, warn
from vmdedup.signals import interrupted_status

if TYPE_CHECKING:
    from vmdedup.recording.record import Outcome, Watch


HELP = """Record the memory of live guests, or of series of dumps, into one file; then --show says what it holds.

Each different page is kept once, and for each step which page changed to what. A guest of a scenario with
replay = "FILE" lives that life again. Ctrl-C ends a recording early and keeps its whole steps.

\b
  vmdedup record pid:1234 pid:1240 --output life.rec --interval 5s --steps 10
  vmdedup record domain:web db=domain:postgres --output life.rec --duration 10min --pause
  vmdedup record day=mon.raw,tue.raw,wed.raw idle.elf --output week.rec --interval 1h
  vmdedup record --show life.rec

\b
Sources: pid:N (memory that KSM may merge, or a QEMU guest's RAM), pid:N:all (whatever it has), pid:N:tree (it and its
descendants as one system, each frame once), domain:NAME (libvirt), a dump, or NAME=DUMP1,DUMP2,… (one a step).
NAME=SOURCE gives a guest a name.
"""


def record(
    sources: Annotated[list[str] | None, typer.Argument(metavar="SOURCE…", help="pid:N, domain:NAME, dumps.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file to record into.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file, whatever it is.")] = False,
    interval: Annotated[str, typer.Option(help="From one step to the next, e.g. 500ms or 5s.")] = "5s",
    steps: Annotated[
        int | None, typer.Option(min=1, help="How many steps (default: as many as there are dumps, or 10).")
    ] = None,
    duration: Annotated[str | None, typer.Option(help="How long, instead of --steps.")] = None,
    pause: Annotated[bool, typer.Option("--pause", help="Stop a guest while its snapshot is taken.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="All memory of a process, not its guest's.")] = False,
    show: Annotated[Path | None, typer.Option(help="Say what a recording holds, and record nothing.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, errors only.")] = False,
) -> int:
    """Returns the exit status."""
    from vmdedup.errors import UsageError

    if show is not None:
        if sources or output:
            raise UsageError("--show records nothing; leave SOURCE and --output out")
        _show(show, as_json)
        return 0
    if not sources or output is None:
        raise UsageError("record needs a SOURCE and --output FILE; see vmdedup record --help")
    with _progress(quiet) as watch:
        outcome = _record(sources, output, (interval, steps, duration), pause, everything, watch, force)
    return _report(output, outcome, as_json, quiet)


def _record(
    texts: list[str],
    output: Path,
    when: tuple[str, int | None, str | None],
    pause: bool,
    everything: bool,
    watch: Watch,
    force: bool,
) -> Outcome:
    from vmdedup.recording.record import record as record_sources
    from vmdedup.recording.record import steps_of
    from vmdedup.recording.sources import find_sources

    interval, wanted = _schedule(*when)
    sources = find_sources(texts, "all" if everything else "guest")
    return record_sources(sources, output, interval, steps_of(sources, wanted), pause, watch, force)


def _schedule(interval: str, steps: int | None, duration: str | None) -> tuple[int, int | None]:
    """Nanoseconds from step to step, and how many steps."""
    from vmdedup.errors import UsageError
    from vmdedup.units import parse_duration

    step = parse_duration(interval)
    if not step:
        raise UsageError("--interval 0 will not do; give for example 500ms")
    if duration is None:
        return step, steps
    if steps is not None:
        raise UsageError("--steps and --duration say the same thing; give one of them")
    return step, parse_duration(duration) // step + 1


@contextmanager
def _progress(quiet: bool) -> Iterator[Watch]:
    """On a terminal, which step of which guest is being taken."""
    with Progress(quiet, patience=0.0) as progress:
        yield lambda step, name: progress.show(f"{time.strftime('%H:%M:%S')} step {step}: {name}")


def _report(output: Path, outcome: Outcome, as_json: bool, quiet: bool) -> int:
    """Say what came of it. Returns the exit status."""
    for note in outcome.notes:
        warn(note)
    if not outcome.steps:
        warn("interrupted before a step was whole; nothing is kept")
        return interrupted_status()
    if as_json or not quiet:
        _show(output, as_json, outcome.ended)
    if outcome.ended != "complete":
        warn(f"{outcome.ended}; {outcome.steps} whole steps are in {output}")
    return interrupted_status() if outcome.ended == "interrupted" else 0


def _show(path: Path, as_json: bool, ended: str | None = None) -> None:
    """A recording's summary on stdout."""
    from vmdedup.recording.reader import Recording
    from vmdedup.recording.summary import summarise

    with Recording(path) as recording:
        summary = summarise(recording)
    if ended is not None:
        summary["ended"] = ended
    if as_json:
        say_document(summary)
        return
    from vmdedup.report.recording import lines

    for line in lines(summary):
        say(line)
