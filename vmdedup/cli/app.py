"""The typer application: its commands and the options of vmdedup itself.

A command's file is loaded when the command is asked for, or when all are listed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_group

from vmdedup.errors import UsageError
from vmdedup.signals import Interrupted

_HELP = """What memory deduplication does to a host full of virtual machines, before and after you turn it on.

\b
  vmdedup run                         eight identical guests on this machine's /usr, about a minute
  vmdedup run dense --guests 16       another built-in scenario, smaller
  vmdedup scenario show identical     a scenario to start your own from
  vmdedup replay script.ksm --on both the emulator against this machine's own kernel
  vmdedup explain script.ksm -o page.html     what ksmd does in it, step by step, with both trees
  vmdedup scan web1.elf web2.raw      what memory dumps hold, and who shares with whom
  vmdedup learn web1.elf web2.elf     what N more like these would save, and a model to emulate them by
  vmdedup run mixed --policy ksm,esx  the same guests under several policies
  vmdedup report runs/mixed-… -o report.html  its results as one page
  vmdedup sweep mixed --vary guests=8..64:8   many runs of a scenario, a row each, on this machine or on others
  vmdedup exec identical -- ksmtuned  a real program on an emulated host
  vmdedup place rack*.parquet --host-memory 64GiB   which guest on which host, so that hosts share most
  vmdedup calibrate                   what ksmd costs on this host, for the CPU time that runs state (root)
  vmdedup doctor                      what this machine can do, and why nothing merges
"""

# Command, which is a function of its file with HELP beside it, to what the list of commands says of it; None: its file
# has an application of its own, `app`, with commands and a help.
COMMANDS: Final[Mapping[str, str | None]] = {
    "run": "Emulate a host of guests and ksmd.",
    "exec": "Run a program for which an emulated host is this host.",
    "mount": "Show an emulated host's files below a folder.",
    "serve": "Metrics for Prometheus, of an emulated host or of this one.",
    "status": "What does KSM do on this host now?",
    "sweep": "Run a scenario many times, with what varies.",
    "tune": "Which settings of KSM reach a goal?",
    "place": "Which guest on which host, and does it deliver?",
    "replay": "Play a KSM script.",
    "explain": "Show what ksmd does in a KSM script, step by step, and why.",
    "record": "Record the memory of live guests.",
    "learn": "Learn a kind of guests from dumps: what would N save?",
    "doctor": "What can this machine do, and what keeps KSM from merging?",
    "top": "A live view of what KSM does, here or on an emulated host.",
    "compare": "Lay results side by side.",
    "report": "Show results as one page.",
    "conform": "Does a kernel do what a version of Linux does?",
    "leak": "What do guests learn of each other, by which channel?",
    "scan": "What do memory dumps hold?",
    "calibrate": "Measure what ksmd takes on this host.",
    "man": "Write man pages of all commands.",
    "experiment": None,
    "image": None,
    "kernel": None,
    "live": None,
    "policy": None,
    "scenario": None,
}


class _Files(Mapping[str, Any]):
    """The commands by name, each loaded once it is looked at."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = self._load(name, COMMANDS[name])
        return self._loaded[name]

    def _load(self, name: str, short: str | None) -> Any:
        file = import_module(f"vmdedup.cli.{name}")
        alone = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
        if short is None:
            alone.add_typer(file.app, name=name)
        else:
            alone.command(name, help=file.HELP, short_help=short)(getattr(file, name))
        return get_group(alone).commands[name]


class _Commands(TyperGroup):
    """All of them. Of KeyboardInterrupt typer would make a bare status, whatever the signal, and say nothing."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands: Any = _Files()

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


def _version(context: typer.Context, wanted: bool) -> None:
    if wanted:
        from vmdedup.cli.version import show_version

        show_version(as_json=bool(context.params.get("as_json")))
        raise typer.Exit


@app.callback()
def options(
    as_json: Annotated[
        bool, typer.Option("--json", is_eager=True, help="With --version: as a document, with what it runs on.")
    ] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, help="Show the version and exit.")] = False,
) -> None:
    """Options of vmdedup itself."""
    if as_json:
        raise UsageError("--json goes after the command, or with --version; see vmdedup --help")
