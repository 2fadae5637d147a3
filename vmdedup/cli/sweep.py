"""vmdedup sweep SCENARIO --vary NAME=VALUE,…: many runs, a row each, in one table."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmdedup.cli.say import Progress, say, say_document, warn
from vmdedup.signals import interrupted_status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vmdedup.result.sweep_directory import SweepDirectory
    from vmdedup.sweep.cluster import Cluster
    from vmdedup.sweep.grid import Grid
    from vmdedup.sweep.local import Local

HELP = """Run a scenario with every combination of what varies, each with several seeds: a row a run, in one Parquet.

--vary names a tunable of KSM, or what `vmdedup run` has as an option: guests, memory, workload, duration, kernel,
policy, budget, prices, seed. POLICY.NAME is a tunable of a policy, for its runs. means="ksm; reporting; ksm+zram" are
the means against too little memory of `vmdedup run --vary`. FROM..TO:STEP stands for all numbers between.

A run that fails is a row with its reason. Ctrl-C keeps the rows so far; the same command with --output on that
directory goes on from there. A run takes the same row wherever it is made, beside whatever else (lockstep clock).

With --scheduler runs are made by the workers of a Dask scheduler, on as many machines as it has; they need the same
vmdedup, and the scenario's disks. With --cluster local Dask's workers are on this machine.

\b
  vmdedup sweep mixed --vary pages_to_scan=100,1000,5000 --vary guests=8..64:8 --seeds 3
  vmdedup sweep mixed --vary policy=ksm,uksm --vary uksm.cpu_governor=0,3 -o runs/uksm
  vmdedup sweep mine.toml --vary pages_to_scan=100..10000:100 --sample 20 --plot sweep.svg
  vmdedup sweep mixed --vary guests=8..64:8 --seeds 5 --scheduler tcp://head:8786
  vmdedup sweep oom --vary "means=as it was; as it was+ksm fast" --vary memory=64MiB,128MiB --jobs 4
"""
FAILED = 1


def sweep(
    scenario: Annotated[str, typer.Argument(metavar="SCENARIO", help="Name or TOML file.")],
    vary: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE,…", help="What varies; once for each axis of the grid.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Seeds of each combination, from the scenario's on.")] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Only so many combinations, chosen at random by the scenario's seed.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Make runs by the workers of this Dask scheduler: tcp://….")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(metavar="local", help="By Dask's workers on this machine, --jobs of them.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Runs at once [default: one a core; wall clock: one].")
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Make runs again that failed before.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw it into this .png, .svg or .pdf.")] = None,
    show: Annotated[str, typer.Option(metavar="COLUMN", help="With --plot: the figure that is drawn.")] = "saved_mib",
    force: Annotated[bool, typer.Option("--force", help="With --plot: replace the file, whatever it is.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead.")] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Directory; that of a sweep goes on [default: below runs/]."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, errors only.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colour (also: NO_COLOR=1).")] = False,
) -> int:
    """Returns the exit status."""
    from vmdedup.result.sweep_directory import SweepDirectory
    from vmdedup.sweep.axes import parse_axes
    from vmdedup.sweep.grid import Grid

    where = _where(scheduler, cluster, jobs)
    grid = Grid(scenario, parse_axes(vary or ()), seeds, sample)
    about = grid.document()
    _check_plot(plot, show, force)
    with SweepDirectory(output, about, {axis.name: axis.kind for axis in grid.axes}) as directory:
        if retry:
            directory.forget_failed()
        stopped = _make(grid, directory, where, jobs, quiet)
        if not directory.rows:
            return _say_why(stopped)
        directory.finish()
        rows = [directory.rows[number] for number in sorted(directory.rows)]
        try:
            if plot is not None:
                from vmdedup.report.sweep_plot import plot_sweep

                plot_sweep(about, rows, show, plot, force)
            _show(about, rows, as_json, no_color)
        finally:
            _say_where(directory, about, stopped, quiet)
    return _status(rows, stopped)


def _where(scheduler: str | None, cluster: str | None, jobs: int | None) -> str | None:
    """Dask's scheduler, or "local"; None: by processes of this machine. UsageError: no telling."""
    from vmdedup.errors import UsageError

    if scheduler is not None and (cluster is not None or jobs is not None):
        raise UsageError("--scheduler has workers of its own; leave --cluster and --jobs out")
    if cluster not in (None, "local"):
        raise UsageError(f"--cluster {cluster}: there is `local`; another cluster is named by --scheduler tcp://…")
    return scheduler or cluster


def _check_plot(plot: Path | None, column: str, force: bool) -> None:
    """What can be refused of a plot before anything is run."""
    if plot is None:
        return
    from vmdedup.report.plot import check_plot
    from vmdedup.report.sweep_plot import check_column

    check_column(column)
    check_plot(plot, force)


def _make(
    grid: Grid, directory: SweepDirectory, where: str | None, jobs: int | None, quiet: bool
) -> BaseException | None:
    """Make the runs that are missing. Returns what ended that before they were all made."""
    from vmdedup.errors import VmdedupError
    from vmdedup.sweep.course import make_runs

    if len(directory.rows) == len(grid.tasks):
        return None
    with Progress(quiet) as progress:

        def keep(row: Mapping[str, Any]) -> None:
            directory.keep(row)
            failed = sum(each["ended"] != "complete" for each in directory.rows.values())
            said = f", {failed:,} failed" if failed else ""
            progress.show(f"{len(directory.rows):,} of {len(grid.tasks):,} runs{said}")

        try:
            with _places(grid, where, jobs, quiet) as places:
                make_runs(grid, directory.rows.keys(), places, keep)
        except (KeyboardInterrupt, VmdedupError) as stopped:
            return stopped
    return None


def _places(grid: Grid, where: str | None, jobs: int | None, quiet: bool) -> Local | Cluster:
    """Who makes the runs."""
    from vmdedup.sweep.local import Local

    cores = len(os.sched_getaffinity(0)) if grid.base.clock == "lockstep" else 1
    jobs = min(jobs or cores, len(grid.tasks))
    if where is None:
        return Local(jobs)
    from vmdedup.sweep.cluster import Cluster
    from vmdedup.sweep.sameness import needs

    cluster = Cluster(where, jobs, needs(grid.base, grid.policies()))
    if not quiet:
        say(f"Dask's dashboard: {cluster.dashboard}", err=True)
    return cluster


def _show(about: Mapping[str, Any], rows: list[Mapping[str, Any]], as_json: bool, no_color: bool) -> None:
    """The answers on stdout."""
    if as_json:
        say_document({**about, "rows": rows})
        return
    from vmdedup.report.console import console
    from vmdedup.report.sweep import render

    render(about, rows, console(no_color, to_stdout=True))


def _say_why(stopped: BaseException | None) -> int:
    """Nothing was made at all. Returns the exit status."""
    from vmdedup.errors import VmdedupError

    if isinstance(stopped, VmdedupError):
        raise stopped
    warn("interrupted before there was anything to show")
    return interrupted_status()


def _say_where(directory: SweepDirectory, about: Mapping[str, Any], stopped: BaseException | None, quiet: bool) -> None:
    if stopped is not None:
        why = "interrupted" if isinstance(stopped, KeyboardInterrupt) else stopped
        count = f"{len(directory.rows):,} of {about['runs']:,} runs"
        warn(f"{why}; {count} are in {directory.path}; the same command with -o {directory.path} goes on")
    elif not quiet:
        say(f"results: {directory.path}", err=True)


def _status(rows: list[Mapping[str, Any]], stopped: BaseException | None) -> int:
    """The exit status of a sweep that has rows: why it was stopped, or whether any run failed."""
    from vmdedup.errors import VmdedupError

    if isinstance(stopped, VmdedupError):
        return stopped.exit_status
    if stopped is not None:
        return interrupted_status()
    return FAILED if any(row["ended"] != "complete" for row in rows) else 0
