"""vmdedup run [SCENARIO]: a host of guests and ksmd, emulated or on the kernel; then what was saved, at what cost."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from vmdedup.experiment.scenario import Scenario
    from vmdedup.result.run import Result

INTERRUPTED = 130
# How a run ended: the exit status, and what is said before the directory of its results.
_ENDS = {
    "interrupted": (INTERRUPTED, "interrupted; the results so far are in"),
    "no guest survived": (1, "no guest survived; the results so far are in"),
}

HELP = """Emulate a host of guests and ksmd, then say what was saved, for whom, how soon and at what cost.

SCENARIO is a name from `vmdedup scenario list` or a TOML file; without it: eight identical guests of 128MiB
on this machine's /usr. Ctrl-C ends a run early and keeps its results so far.

With --on kernel the same guests keep their memory in real mappings under this machine's own ksmd: needs root, and
nobody else who uses KSM. Its tunables are as before afterwards. In lockstep the counters are those of the emulator.

\b
  vmdedup run
  vmdedup run mixed --set pages_to_scan=5000 --set use_zero_pages=1
  vmdedup run mine.toml --guests 16 --memory 256MiB --duration 5min --output runs/mine
  vmdedup run dense --json > dense.json
  vmdedup run mixed --on kernel
"""


class On(StrEnum):
    """Where guests have their memory, and who scans it."""

    emulator = "emulator"
    kernel = "kernel"


class ClockName(StrEnum):
    """Lockstep: virtual time, the same counters every time. Wall: everybody runs freely."""

    lockstep = "lockstep"
    wall = "wall"


def run(
    scenario: Annotated[str, typer.Argument(metavar="SCENARIO", help="Name or TOML file.")] = "identical",
    guests: Annotated[int | None, typer.Option(help="How many guests, shared out among the groups.")] = None,
    memory: Annotated[str | None, typer.Option(help="Memory of each guest, e.g. 256MiB.")] = None,
    workload: Annotated[str | None, typer.Option(help="What every guest does.")] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same run (lockstep).")] = None,
    knobs: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KNOB=VALUE", help="A tunable of KSM; may be repeated."),
    ] = None,
    duration: Annotated[str | None, typer.Option(help="How long the run is, e.g. 90s or 5min.")] = None,
    clock: Annotated[ClockName | None, typer.Option(help="Virtual time in step, or real time.")] = None,
    on: Annotated[On, typer.Option("--on", help="An emulated host, or this machine's own KSM.")] = On.emulator,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead.")] = False,
    output: Annotated[Path | None, typer.Option(help="Directory for the results (default: below runs/).")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, errors only.")] = False,
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, show_default=False, help="More log; -vv for all.")
    ] = 0,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colour (also: NO_COLOR=1).")] = False,
) -> int:
    """Returns the exit status."""
    flags = (guests, memory, workload, seed, knobs or (), duration, clock and clock.value)
    try:
        return _run(_load(scenario, *flags), on, output, as_json, quiet, verbose, no_color)
    except KeyboardInterrupt:
        typer.echo("vmdedup: interrupted before there was anything to keep", err=True)
        return INTERRUPTED


def _load(scenario: str, *flags: Any) -> Scenario:
    """The scenario with the flags, in the order of Overrides, written over it."""
    from vmdedup.experiment.load import load_scenario
    from vmdedup.experiment.overrides import Overrides

    return load_scenario(scenario, Overrides(*flags))


def _run(
    scenario: Scenario, on: On, output: Path | None, as_json: bool, quiet: bool, verbose: int, no_color: bool
) -> int:
    """Run, show what came out, keep it, and say where."""
    from vmdedup.cli.console import ConsoleHandler, console, log_level
    from vmdedup.experiment.output import choose_output
    from vmdedup.experiment.run import run_scenario
    from vmdedup.report.live import LiveView

    path = choose_output(scenario, output)
    err = console(no_color)
    with LiveView(err, scenario.name, scenario.duration, shown=not quiet) as view:
        result = run_scenario(scenario, view, ConsoleHandler(err), log_level(verbose, quiet), on.value)
    _show(result, as_json, no_color)
    result.save(path)
    status, begin = _ENDS.get(result.run["ended"], (0, "results:"))
    if status or not quiet:
        err.print(f"{begin} {path}", highlight=False, soft_wrap=True)
    return status


def _show(result: Result, as_json: bool, no_color: bool) -> None:
    """The answers on stdout."""
    if as_json:
        from vmdedup.report.document import render as render_document

        typer.echo(render_document(result.summary))
        return
    from vmdedup.cli.console import console
    from vmdedup.report.summary import render

    render(result.summary, console(no_color, to_stdout=True))
