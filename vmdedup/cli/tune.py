"""vmdedup tune SCENARIO --goal …: which settings of KSM reach a goal at the least CPU."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmdedup.cli.say import Progress, say, say_document, warn
from vmdedup.signals import interrupted_status

if TYPE_CHECKING:
    from vmdedup.result.sweep_directory import SweepDirectory
    from vmdedup.tune.goal import Goal
    from vmdedup.tune.runs import Runs
    from vmdedup.tune.search import Search

HELP = """Find settings of KSM that reach a goal with the least CPU, by emulated runs that Optuna chooses (TPE).

Runs last as long as the goal says. Run 0 has today's settings, those of the scenario; after the last try the best ones
are run again with each knob as it is today, alone. Without --goal: the runs that none beats in saving, time to 90% of
what is possible, and ksmd's CPU. Each figure names its run, which is a row of the table that is kept (--keep).

--over names knobs: pages_to_scan, sleep_millisecs, smart_scan, use_zero_pages (all four unless it is said), advisor,
and one of controllers, zero_only, policy, which steer ksmd as they ship.

Exit status 1: the goal was not reached. Ctrl-C gives what is known so far; the same command with --keep goes on.

\b
  vmdedup tune webdb --goal "90% of possible in 60s" --max ksmd=10%
  vmdedup tune mine.toml --goal "80% of possible in 5min" --over pages_to_scan,policy --trials 60 --keep runs/tune
  vmdedup tune mine.toml --goal "90% of possible in 60s" --write settings
"""


def tune(
    scenario: Annotated[str, typer.Argument(metavar="SCENARIO", help="Name or TOML file.")],
    goal: Annotated[str | None, typer.Option(metavar="GOAL", help='As in "90% of possible in 60s".')] = None,
    limit: Annotated[
        list[str] | None, typer.Option("--max", metavar="ksmd=SHARE", help="The most of a core that ksmd may take.")
    ] = None,
    over: Annotated[str | None, typer.Option(metavar="KNOB,…", help="What may be changed.")] = None,
    trials: Annotated[int, typer.Option(help="Runs to try.")] = 40,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the search and its runs [default: the scenario's].")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs at once [default: one a core, at most 4].")] = None,
    keep: Annotated[Path | None, typer.Option(help="Directory of all runs' rows [default: below runs/].")] = None,
    write: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Write the best settings, ready to use.")] = None,
    force: Annotated[bool, typer.Option("--force", help="With --write: replace files, whatever they are.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, errors only.")] = False,
) -> int:
    """Returns the exit status."""
    from vmdedup.errors import UsageError
    from vmdedup.result.sweep_directory import SweepDirectory
    from vmdedup.tune.answer import answer
    from vmdedup.tune.files import check
    from vmdedup.tune.goal import parse_goal, parse_limits
    from vmdedup.tune.knobs import parse_knobs, todays
    from vmdedup.tune.runs import Runs
    from vmdedup.tune.search import Search

    if trials < 1:
        raise UsageError(f"--trials {trials}: nothing can be found without a run; give at least 1")
    if write is not None and goal is None:
        raise UsageError("--write needs a best setting, so it needs --goal")
    if write is not None:
        check(write, force)
    aim = None if goal is None else parse_goal(goal)
    limits, knobs = parse_limits(limit or ()), parse_knobs(over)
    runs = Runs(scenario, knobs, aim, seed)
    today = todays(runs.base, knobs)
    runs.load(today)
    engine = Search(knobs, today, aim, limits, runs.seed)
    wanted = {"goal": goal, "limits": limits, "over": list(today), "trials": trials, "runs": trials + len(knobs)}
    with SweepDirectory(keep, runs.document(wanted, engine.version), dict.fromkeys(today, str)) as directory:
        stopped = _make(runs, engine, directory, (today, trials, aim, limits), jobs, quiet)
        if not directory.rows.get(0):
            return _say_why(stopped)
        directory.finish()
        rows = [directory.rows[number] for number in sorted(directory.rows)]
        found = answer(rows, today, aim, limits)
        _show(found, runs, rows, as_json)
        if stopped is not None:
            warn(f"interrupted; {len(rows):,} runs are in {directory.path}; the same command with --keep goes on")
            return interrupted_status()
        if not quiet:
            say(f"runs: {directory.path}", err=True)
    return _end(found, aim, write, force, quiet)


def _make(
    runs: Runs,
    engine: Search,
    directory: SweepDirectory,
    wanted: tuple[Mapping[str, str], int, Goal | None, Mapping[str, float]],
    jobs: int | None,
    quiet: bool,
) -> KeyboardInterrupt | None:
    """Make the runs that are missing. Returns the interrupt that ended it early."""
    from functools import partial

    from vmdedup.sweep.local import Local
    from vmdedup.tune.course import search
    from vmdedup.tune.search import BATCH

    done = dict(directory.rows)
    cores = len(os.sched_getaffinity(0)) if runs.base.clock == "lockstep" else 1
    try:
        with Progress(quiet) as progress, Local(min(jobs or cores, BATCH)) as places:
            make = partial(runs.make, places, done, directory.keep)
            for row in search(make, engine, *wanted):
                progress.show(f"run {row['run'] + 1:,} of about {wanted[1]:,}")
    except KeyboardInterrupt as stopped:
        return stopped
    return None


def _say_why(stopped: KeyboardInterrupt | None) -> int:
    warn("interrupted before today's settings were run" if stopped else "no run was made")
    return interrupted_status()


def _show(found: Mapping[str, Any], runs: Runs, rows: list[Mapping[str, Any]], as_json: bool) -> None:
    """The answer on stdout."""
    if as_json:
        say_document({"scenario": runs.base.name, "seed": runs.seed, **found, "rows": rows})
        return
    from vmdedup.report.tune import lines

    for line in lines(found):
        say(line)


def _end(found: Mapping[str, Any], goal: Goal | None, folder: Path | None, force: bool, quiet: bool) -> int:
    """Write what is wanted. Returns the exit status."""
    if goal is None:
        return 0 if found["front"] else 1
    if not found["reached"]:
        if folder is not None:
            warn("nothing is written: no settings reach the goal")
        return 1
    if folder is not None:
        from vmdedup.tune.files import write

        for path in write(folder, found["best"]["settings"], found["best"]["run"], force):
            if not quiet:
                say(f"written: {path}", err=True)
    return 0
