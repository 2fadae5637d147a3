"""vmdedup experiment list | run: published experiments, the papers' figures beside ours."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from vmdedup.experiment.literature.base import Dumped, Experiment

app = typer.Typer(
    help="Published experiments, run again: paper, ours, difference, verdict.\n\n\b\n"
    "  vmdedup experiment list\n"
    "  vmdedup experiment run de-figure2\n"
    "  vmdedup experiment run all",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_JSON = Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead.")]
SCHEMA_VERSION = 1
INTERRUPTED = 130
FILE = "experiments.json"


@app.command("list")
def list_experiments(as_json: _JSON = False) -> None:
    """Every experiment, with the paper that it is from.

    \b
      vmdedup experiment list
    """
    from vmdedup.experiment.literature.figures import Published
    from vmdedup.experiment.literature.table import EXPERIMENTS

    found = [
        {"name": each.name, "title": each.title, "source": Published.read(each.published).source}
        for each in EXPERIMENTS.values()
    ]
    if as_json:
        _print({"experiments": found})
        return
    width = max(len(each["name"]) for each in found)
    for each in found:
        typer.echo(f"{each['name']:<{width}}  {each['title']}. {each['source']}.")


@app.command("run")
def run(
    names: Annotated[list[str], typer.Argument(metavar="NAME…", help="From the list, or all.")],
    as_json: _JSON = False,
    quick: Annotated[bool, typer.Option("--quick", help="Smaller guests, on generated disks only.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for experiments.json.")] = None,
    docs: Annotated[Path | None, typer.Option(help="Folder for results.md and its pictures (all: docs).")] = None,
    dumps: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE", help="A memory dump in place of our guests, as `vmdedup scan` takes it; repeatable."
        ),
    ] = None,
) -> int:
    """Run experiments, and print what the paper has, what we have, and how that is to be judged.

    \b
      vmdedup experiment run de-table1 de-figure2
      vmdedup experiment run all --quick --json
      vmdedup experiment run all --docs docs/
      vmdedup experiment run de-table1 de-figure2 --dumps vm1.raw --dumps vm2.elf
    """
    from vmdedup.cli.dumped import read_dumps
    from vmdedup.experiment.literature.table import ALL, choose

    chosen = choose(names)
    dumped = read_dumps(dumps, chosen, _say) if dumps else None
    if docs is None and ALL in names and not quick:
        docs = Path("docs")
    given = [*names, *(["--quick"] if quick else []), *(f"--dumps {dump}" for dump in dumps or [])]
    found: list[dict[str, Any]] = []
    try:
        for number, experiment in enumerate(chosen, 1):
            found.append(_run(experiment, f"{experiment.name} ({number} of {len(chosen)})", quick, dumped))
            if not as_json:
                _show(found[-1])
    except KeyboardInterrupt:
        _keep(found, given, output, None, as_json)
        return INTERRUPTED
    finally:
        _say("")
    _keep(found, given, output, docs, as_json)
    return 0


def _run(experiment: Experiment, title: str, quick: bool, dumped: Dumped | None) -> dict[str, Any]:
    from vmdedup.experiment.literature.base import Bench

    return experiment.run(Bench(quick, lambda text: _say(f"{title}: {text}"), dumped))


def _say(text: str) -> None:
    """Progress, on a terminal only."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _show(experiment: dict[str, Any]) -> None:
    from vmdedup.report.literature import as_text

    _say("")
    typer.echo(as_text(experiment) + "\n")


def _keep(found: list[dict[str, Any]], given: list[str], output: Path | None, docs: Path | None, as_json: bool) -> None:
    """Everything that is written: on stdout, and into the folders. given: after `run`, as far as it decides figures."""
    from vmdedup.report.literature import write_page
    from vmdedup.result.directory import json_bytes

    if not found:
        return
    command = " ".join(["vmdedup", "experiment", "run", *given])
    document = {"schema_version": SCHEMA_VERSION, "command": command, "experiments": found}
    if as_json:
        _print(document)
    if output is not None:
        _write(output, json_bytes(document))
    if docs is not None:
        write_page(document, docs)


def _write(folder: Path, content: bytes) -> None:
    from vmdedup.errors import VmdedupError

    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_bytes(content)
    except OSError as error:
        raise VmdedupError(f"{folder}: {error.strerror}; choose another folder with --output") from None


def _print(document: dict[str, Any]) -> None:
    from vmdedup.report.document import render

    typer.echo(render({"schema_version": SCHEMA_VERSION, **document}))
