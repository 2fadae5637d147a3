"""What exec, mount and serve have in common: an emulated host that keeps step with real time while others look on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmdedup.cli.keeping import ENDS, kept_first, kept_rows, said_where
from vmdedup.cli.say import Progress, say, warn
from vmdedup.signals import interrupted_status

if TYPE_CHECKING:
    from vmdedup.result.directory import RunDirectory
    from vmdedup.run.clock.desk import Desk
    from vmdedup.run.clock.paced import IsOver
    from vmdedup.run.measure.rows import Row
    from vmdedup.scenario.model import Scenario

ScenarioName = Annotated[str, typer.Argument(metavar="SCENARIO", help="Name or TOML file.")]
Guests = Annotated[int | None, typer.Option(help="How many guests, shared out among the groups.")]
Memory = Annotated[str | None, typer.Option(help="Memory of each guest, e.g. 256MiB.")]
Workload = Annotated[str | None, typer.Option(help="What every guest does.")]
Seed = Annotated[int | None, typer.Option(help="Seed of what guests do.")]
Knobs = Annotated[
    list[str] | None, typer.Option("--set", metavar="KNOB=VALUE", help="A tunable of KSM; may be repeated.")
]
Kernel = Annotated[
    str | None, typer.Option("--kernel", metavar="VERSION", help="Version of Linux whose files and ksmd there are.")
]
PolicyName = Annotated[
    str | None, typer.Option(metavar="NAME", help="KSM, or KSM under a controller: ksmtuned, mom, …")
]
Speed = Annotated[float, typer.Option(min=0.01, max=1000.0, help="Seconds of the host in a real one.")]
Duration = Annotated[str | None, typer.Option(help="End after so much of the host's time, e.g. 10min.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Directory for rows, as vmdedup run has them (default: none).")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, errors only.")]
Verbose = Annotated[int, typer.Option("--verbose", "-v", count=True, show_default=False, help="Events too; -vv: all.")]


@dataclass(frozen=True)
class Hosting:
    """How an emulated host is run for others."""

    speed: float
    duration: str | None
    output: Path | None
    quiet: bool
    verbose: int


class _Told:
    """A run's events: as progress until the host can be looked at, then as lines, if they are wanted."""

    def __init__(self, quiet: bool, verbose: int) -> None:
        self.progress = Progress(quiet)
        self._verbose, self._has_begun = verbose, False

    def sample(self, row: Row) -> None:
        """The first row: the host is there."""
        self.progress.clear()
        self._has_begun = True

    def event(self, text: str) -> None:
        """Something has happened."""
        if not self._has_begun:
            self.progress.show(text)
        elif self._verbose:
            say(text, err=True)


def load(
    scenario: str,
    guests: int | None,
    memory: str | None,
    workload: str | None,
    seed: int | None,
    knobs: list[str] | None,
    kernel: str | None,
    policy: str | None,
    duration: str | None = None,
) -> Scenario:
    """The scenario with the flags written over it. UsageError: its host has no files of KSM's."""
    from vmdedup.errors import UsageError
    from vmdedup.guise.files import need_ksm
    from vmdedup.scenario.load import load_scenario
    from vmdedup.scenario.overrides import Overrides

    loaded = load_scenario(
        scenario, Overrides(guests, memory, workload, seed, knobs or (), duration, kernel=kernel, policy=policy)
    )
    need_ksm(loaded)
    if loaded.clock != "lockstep":
        raise UsageError('clock = "wall" is for vmdedup run; leave it out: the host keeps step with real time anyway')
    return loaded


def host(scenario: Scenario, how: Hosting, visit: Callable[[Desk], AbstractContextManager[IsOver]]) -> int:
    """Run the host while somebody visits it. Returns the exit status."""
    from vmdedup.result.directory import choose_output

    if how.output is None:
        ended = _run(scenario, how, visit, None)["ended"]
        if ended == "interrupted":
            warn("interrupted")
        return _status(ended)
    with choose_output(scenario.name, how.output) as directory, kept_rows(directory):
        return _status(_run(scenario, how, visit, directory)["ended"])


def _run(
    scenario: Scenario,
    how: Hosting,
    visit: Callable[[Desk], AbstractContextManager[IsOver]],
    directory: RunDirectory | None,
) -> dict[str, Any]:
    """Returns run.json, which is kept with all else if there is a directory."""
    from vmdedup.cli.console import ConsoleHandler, log_level
    from vmdedup.report.console import console
    from vmdedup.run.clock.desk import Desk
    from vmdedup.run.clock.paced import Paced
    from vmdedup.run.run import run_scenario
    from vmdedup.units import parse_duration

    desk, length = Desk(), parse_duration(how.duration) if how.duration else None
    clock = Paced(desk, lambda: visit(desk), how.speed, length, directory is not None)
    told = _Told(how.quiet, how.verbose)
    handler, level = ConsoleHandler(console(False)), log_level(how.verbose, how.quiet)
    with told.progress:
        result = run_scenario(scenario, told, handler, level, directory=directory, clock=clock)
    if directory is not None:
        with kept_first(result, directory), said_where(result.run["ended"], directory.path, how.quiet):
            pass
    return dict(result.run)


def _status(ended: str) -> int:
    """A host without guests is one still."""
    if ended == "interrupted":
        return interrupted_status()
    return 1 if ended in ENDS and ended != "no guest survived" else 0
