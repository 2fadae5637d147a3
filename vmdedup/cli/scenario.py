"""vmdedup scenario list | workloads | show | check."""

from __future__ import annotations

from typing import Annotated

import typer

from vmdedup.cli.say import say, warn

app = typer.Typer(
    help="List, show and check scenarios.\n\n\b\n"
    "  vmdedup scenario list\n"
    "  vmdedup scenario show identical > mine.toml\n"
    "  vmdedup scenario check mine.toml",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_NAME = Annotated[str, typer.Argument(metavar="SCENARIO", help="A name from the list, or a TOML file.")]


@app.command("list")
def list_scenarios() -> None:
    """The scenarios that come with the program, the default first.

    \b
      vmdedup scenario list
    """
    from vmdedup.scenario.describe import describe_builtin

    for line in describe_builtin():
        say(line)


@app.command("workloads")
def list_workloads() -> None:
    """What guests can do, with the parameters of each: default, unit, meaning.

    \b
      vmdedup scenario workloads
    """
    from vmdedup.scenario.describe import describe_workloads

    for line in describe_workloads():
        say(line)


@app.command("show")
def show(name: _NAME = "identical") -> None:
    """Print a scenario's TOML, to read or to start your own from.

    \b
      vmdedup scenario show identical
      vmdedup scenario show mixed > mine.toml
    """
    from vmdedup.scenario.load import find_source

    say(find_source(name).text.removesuffix("\n"))


@app.command("check")
def check(name: _NAME) -> None:
    """Check a scenario, its disks included, and say what it would run, and whether this machine can hold it.

    Exit status 2 if something is wrong with it, 1 if `vmdedup run` would refuse it here for want of memory.

    Nothing is run: of a policy in a Python file of your own it is only seen that the class is there.

    \b
      vmdedup scenario check mine.toml
    """
    from vmdedup.run.room import host_room
    from vmdedup.scenario.describe import describe
    from vmdedup.scenario.load import load_scenario
    from vmdedup.scenario.plan import check_disks
    from vmdedup.scenario.policy import is_own_file

    scenario = load_scenario(name, runs=False, say=warn)
    check_disks(scenario)
    say(f"{name}: {describe(scenario)}")
    if is_own_file(scenario.policy.name):
        say(f"{scenario.policy.name} was not run, so its tunables are not checked: vmdedup run does that")
    room = host_room(scenario)
    if room.note:
        say(f"{name}: {room.note}")
