"""vmdedup run [SCENARIO]: a host of guests and ksmd, emulated or on the kernel; then what was saved, at what cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmdedup.cli.keeping import ENDS, kept_first, kept_rows, said_where
from vmdedup.cli.say import say_document, warn
from vmdedup.signals import interrupted_status

if TYPE_CHECKING:
    from vmdedup.result.directory import RunDirectory
    from vmdedup.result.run import Result
    from vmdedup.scenario.model import Scenario
    from vmdedup.scenario.overrides import Overrides

HELP = """Emulate a host of guests and ksmd, then say what was saved, for whom, how soon and at what cost.

SCENARIO is a name from `vmdedup scenario list` or a TOML file; without it: eight identical guests of 128MiB
on this machine's /usr. Ctrl-C, a host whose memory runs out, or a policy that breaks down by an error of its own ends
a run early; its results so far are kept.

With --on kernel the same guests keep their memory in real mappings under this machine's own ksmd: needs root, and
nobody else who uses KSM. Its tunables are as before afterwards. In lockstep the counters are those of the emulator.

With --policy another policy of `vmdedup policy list`, or of a Python file of yours, scans in ksmd's place. Several,
with commas between, run one after another on the same guests; one table and one directory lay them side by side.

With --vary the same run is made with other means against too little memory, one after another, and one table lays them
side by side: ksm, "ksm fast", ksm:KNOB=VALUE, reporting, balloon, zram, zswap, disk, none, joined by +, with semicolons
between; "as it was" is what the scenario says. What each means is in docs/pressure.md.

With --ksm-from the tunables are those of a host, as the kernel lists them; counters in the listing are left out. It
stands over the scenario, --set over it. In a scenario: [ksm] from = "FILE", under the other keys of the section.

With --as-measured the guests do as much a second as real ones did in that run (vmdedup live run), with disks from the
same image, for as long before ksmd starts, and ksmd looks at as many pages a second: what differs then is not the pace.

With --kernel the emulated ksmd does as in another version of Linux, from 5.4 on; 6.18 unless it is said. In a
scenario: [ksm] kernel = "6.1".

What a scenario expects ([[expect]] that = "saved_percent > 40 after 60s") is checked at the end: a line with ✓ or ✗ for
each, and exit status 3 if one does not hold. Figures: allocated, used, saved, possible (sizes), saved_percent,
saved_percent_of_possible, ksmd_cpu (of one core, since the run began); without "after", at the end.

What the words mean (held, possible, within, reached, profit, …) is in docs/glossary.md.

\b
  vmdedup run
  vmdedup run mixed --set pages_to_scan=5000 --set use_zero_pages=1
  grep -H '' /sys/kernel/mm/ksm/* > host.txt; vmdedup run --ksm-from host.txt --set run=1
  vmdedup run mine.toml --guests 16 --memory 256MiB --duration 5min -o runs/mine
  vmdedup run dense --json > dense.json
  vmdedup run mixed --kernel 6.1
  vmdedup run webdb --as-measured runs/webdb-real && vmdedup compare runs/webdb-real runs/webdb
  vmdedup run mixed --on kernel
  vmdedup run mixed --policy ksm,ideal --budget cpu=5%
  vmdedup run mixed --vary "ksm; reporting; zram; ksm+zram"
  vmdedup run mine.toml --policy ksm,mine.py --policy-set ksm.smart_scan=0 --policy-set mine.patience=3
"""

NOT_AS_EXPECTED = 3  # exit status, as of compare --fail-above


class On(StrEnum):
    """Where guests have their memory, and who scans it."""

    emulator = "emulator"
    kernel = "kernel"


class PriceList(StrEnum):
    """By whose prices ksmd takes virtual time and is billed."""

    built_in = "built-in"
    host = "host"


class ClockName(StrEnum):
    """Lockstep: virtual time, the same counters every time. Wall: everybody runs freely."""

    lockstep = "lockstep"
    wall = "wall"


_Listing = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Tunables of a kernel, listed by: grep -H '' /sys/kernel/mm/ksm/*")
]
_Measured = Annotated[
    Path | None,
    typer.Option("--as-measured", metavar="RUN", help="Do what real guests did in that run, and scan as fast."),
]


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
    ksm_from: _Listing = None,
    duration: Annotated[str | None, typer.Option(help="How long the run is, e.g. 90s or 5min.")] = None,
    clock: Annotated[ClockName | None, typer.Option(help="Virtual time in step, or real time.")] = None,
    prices: Annotated[
        PriceList | None,
        typer.Option(help="Whose prices ksmd's time goes by (default: built-in; the CPU stated: this host's)."),
    ] = None,
    kernel: Annotated[
        str | None, typer.Option("--kernel", metavar="VERSION", help="Version of Linux that the emulated ksmd is of.")
    ] = None,
    policy: Annotated[
        str | None, typer.Option(metavar="NAME,…", help="Who scans: a name, or FILE.py[:CLASS]; or several.")
    ] = None,
    policy_set: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME.KNOB=VALUE", help="A tunable of a policy; may be repeated."),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(metavar="pages|cpu=5%", help="Equal pages a second, or a share of one core.")
    ] = None,
    measured: _Measured = None,
    vary: Annotated[
        str | None, typer.Option(metavar="A; B; …", help="The same run with other means: 'ksm; reporting; ksm+zram'.")
    ] = None,
    on: Annotated[On, typer.Option("--on", help="An emulated host, or this machine's own KSM.")] = On.emulator,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Directory for the results (default: below runs/).")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, errors only.")] = False,
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, show_default=False, help="More log; -vv for all.")
    ] = 0,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colour (also: NO_COLOR=1).")] = False,
) -> int:
    """Returns the exit status."""
    what = (guests, memory, workload, seed, knobs or (), duration)
    flags = (*what, clock and clock.value, prices and prices.value, kernel)
    options = Options(on, output, as_json, quiet, verbose, no_color)
    try:
        if vary is not None:
            return _vary(scenario, _overrides(flags, ksm_from, measured), vary, policy or policy_set or budget, options)
        scenarios = load_each(scenario, _overrides(flags, ksm_from, measured), policy, policy_set or (), budget, quiet)
        return _run(scenarios[0], options) if len(scenarios) == 1 else _run_several(scenarios, options)
    except KeyboardInterrupt:
        warn("interrupted before there was anything to show")
        return interrupted_status()


@dataclass(frozen=True)
class Options:
    """How a run is made and shown."""

    on: On
    output: Path | None
    as_json: bool
    quiet: bool
    verbose: int
    no_color: bool


def _overrides(flags: tuple[Any, ...], ksm_from: Path | None, measured: Path | None) -> Overrides:
    """The flags, in the order of Overrides, and what stands in the files that are named."""
    from vmdedup.scenario.overrides import Overrides

    overrides = Overrides(*flags)
    if ksm_from is not None:
        from vmdedup.scenario.listed import listing_of

        overrides = replace(overrides, ksm_from=listing_of(ksm_from))
    if measured is not None:
        from vmdedup.cli.measured import as_measured

        overrides = replace(overrides, measured=as_measured(measured))
    return overrides


def load_each(
    scenario: str, plain: Overrides, policy: str | None, knobs: Sequence[str], budget: str | None, quiet: bool
) -> list[Scenario]:
    """The scenario with the flags written over it: once for each policy. What it notes is said once.

    If there are several, what they cost is counted alike for all, ksmd included.
    """
    from vmdedup.scenario.load import load_scenario

    notes: dict[str, None] = {}

    def load(overrides: Overrides) -> Scenario:
        return load_scenario(scenario, overrides, say=notes.setdefault)

    if policy is None and not knobs and budget is None:
        loaded = [load(plain)]
    else:
        from vmdedup.cli.several import knobs_by_policy, split_policies

        names = split_policies(policy) or [load(plain).policy.name]
        costs = "operations" if len(names) > 1 else None
        each = knobs_by_policy(names, knobs)
        loaded = [
            load(replace(plain, policy=name, policy_knobs=each[name], budget=budget, costs=costs)) for name in names
        ]
    for note in () if quiet else notes:
        warn(note)
    return loaded


def _run(scenario: Scenario, options: Options) -> int:
    """Run, keep what came out, show it, and say where it is."""
    from vmdedup.result.directory import choose_output

    with choose_output(scenario.name, options.output) as directory, kept_rows(directory):
        result = _result(scenario, scenario.name, options, directory)
        with kept_first(result, directory), said_where(result.run["ended"], directory.path, options.quiet):
            _show(result, options.as_json, options.no_color)
    return _status(result.run["ended"], [result])


def _vary(scenario: str, plain: Overrides, text: str, refused: object, options: Options) -> int:
    """Run each alternative, show what came out beside each other, and say where it is."""
    from vmdedup.cli.vary import load_alternatives, run_alternatives, show
    from vmdedup.result.directory import choose_output

    made: list[Result] = []
    names, scenarios = load_alternatives(scenario, plain, text, refused, options.quiet)
    with choose_output(scenarios[0].name, options.output, shared=True) as directory:
        document = run_alternatives(
            names,
            scenarios,
            directory.path,
            lambda each, title, part: _noted(made, _result(each, title, options, part)),
        )
        with said_where(document["ended"], directory.path, options.quiet):
            show(document, options.as_json, options.no_color)
    return _status(document["ended"], made)


def _run_several(scenarios: list[Scenario], options: Options) -> int:
    """Run each, show what came out beside each other, and say where it is."""
    from vmdedup.cli.several import run_policies, show
    from vmdedup.result.directory import choose_output

    made: list[Result] = []
    with choose_output(scenarios[0].name, options.output, shared=True) as directory:
        document = run_policies(
            scenarios,
            directory.path,
            lambda scenario, title, part: _noted(made, _result(scenario, title, options, part)),
        )
        with said_where(document["ended"], directory.path, options.quiet):
            show(document, options.as_json, options.no_color)
    return _status(document["ended"], made)


def _result(scenario: Scenario, title: str, options: Options, directory: RunDirectory) -> Result:
    """One run, seen on the terminal under a title."""
    from vmdedup.cli.console import ConsoleHandler, log_level
    from vmdedup.report.console import console, live_view
    from vmdedup.run.measure.rows import Silent
    from vmdedup.run.run import run_scenario

    err = console(options.no_color)
    level = log_level(options.verbose, options.quiet)
    with live_view(err, title, scenario.duration, shown=not options.quiet) as view:
        return run_scenario(scenario, view or Silent(), ConsoleHandler(err), level, options.on.value, directory)


def _noted(made: list[Result], result: Result) -> Result:
    """The result, noted among those made. Where several runs share one table, what it lacks is said here."""
    from vmdedup.report.summary import expected_text

    made.append(result)
    for each in result.summary["expectations"]:
        if not each["holds"]:
            warn(expected_text(each))
    return result


def _status(ended: str, made: Sequence[Result]) -> int:
    """The exit status of runs that ended so: 3 if one is not as its scenario expects."""
    if ended == "interrupted":
        return interrupted_status()
    if ended in ENDS:
        return 1
    return 0 if all(each["holds"] for result in made for each in result.summary["expectations"]) else NOT_AS_EXPECTED


def _show(result: Result, as_json: bool, no_color: bool) -> None:
    """The answers on stdout."""
    if as_json:
        say_document(result.summary)
        return
    from vmdedup.report.console import console
    from vmdedup.report.summary import render

    render(result.summary, console(no_color, to_stdout=True))
