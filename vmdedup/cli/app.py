"""The typer application: its commands and the options of vmdedup itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import vmdedup
from vmdedup.cli import (
    calibrate,
    compare,
    doctor,
    experiment,
    image,
    leak,
    live,
    policy,
    record,
    replay,
    run,
    scan,
    scenario,
)
from vmdedup.cli.say import say
from vmdedup.signals import Interrupted

_HELP = """What memory deduplication does to a host full of virtual machines, before and after you turn it on.

\b
  vmdedup run                         eight identical guests on this machine's /usr, about a minute
  vmdedup run dense --guests 16       another built-in scenario, smaller
  vmdedup scenario show identical     a scenario to start your own from
  vmdedup replay script.ksm --on both the emulator against this machine's own kernel
  vmdedup scan web1.elf web2.raw      what memory dumps hold, and who shares with whom
  vmdedup run mixed --policy ksm,esx  the same guests under several policies
  vmdedup calibrate                   what ksmd costs on this host, for the CPU time that runs state (root)
  vmdedup doctor                      what this machine can do, and why nothing merges
"""


class _Commands(TyperGroup):
    """All of them. Of KeyboardInterrupt typer would make a bare status, whatever the signal, and say nothing."""

    def make_context(self, *arguments: Any, **more: Any) -> Any:
        with _interrupts_passed_on():
            return super().make_context(*arguments, **more)

    def invoke(self, ctx: Any) -> Any:
        with _interrupts_passed_on():
            return super().invoke(ctx)


@contextmanager
def _interrupts_passed_on() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted from None


app = typer.Typer(
    cls=_Commands,
    help=_HELP,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=True,
)
app.command("run", help=run.HELP, short_help="Emulate a host of guests and ksmd.")(run.run)
app.command("replay", help=replay.HELP, short_help="Play a KSM script.")(replay.replay)
app.command("record", help=record.HELP, short_help="Record the memory of live guests.")(record.record)
app.command("doctor", help=doctor.HELP, short_help="What can this machine do, and what keeps KSM from merging?")(
    doctor.doctor
)
app.command("compare", help=compare.HELP, short_help="Lay results side by side.")(compare.compare)
app.command("leak", help=leak.HELP, short_help="What do guests learn of each other, by which channel?")(leak.leak)
app.command("scan", help=scan.HELP, short_help="What do memory dumps hold?")(scan.scan)
app.command("calibrate", help=calibrate.HELP, short_help="Measure what ksmd takes on this host.")(calibrate.calibrate)
app.add_typer(experiment.app, name="experiment")
app.add_typer(image.app, name="image")
app.add_typer(live.app, name="live")
app.add_typer(policy.app, name="policy")
app.add_typer(scenario.app, name="scenario")


def _version(wanted: bool) -> None:
    if wanted:
        say(f"vmdedup {vmdedup.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Options of vmdedup itself."""
