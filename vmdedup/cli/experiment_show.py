"""vmdedup experiment show FILE: what was kept of experiments, as text again, and drawn again without running them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmdedup.cli.say import say, say_document

if TYPE_CHECKING:
    from collections.abc import Sequence

Pictures = Annotated[str, typer.Option(metavar="ENDING", help="Form of the pictures: svg, pdf or png.")]
HELP = """Show what was kept of experiments, and write their page and pictures again, without running them.

FILE is the experiments.json that `experiment run` wrote with --output, or beside its pictures.

\b
  vmdedup experiment show docs/results/experiments.json leak
  vmdedup experiment show docs/results/experiments.json --docs docs/
  vmdedup experiment show docs/results/experiments.json de-rubis --docs figures/ --pictures pdf
"""


def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="An experiments.json.")],
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME…]", help="Of those in it [default: all].")] = None,
    docs: Annotated[Path | None, typer.Option(help="Folder for results.md and its pictures.")] = None,
    pictures: Pictures = "svg",
    force: Annotated[bool, typer.Option("--force", help="Replace files there that vmdedup did not make.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead.")] = False,
) -> None:
    """The text of each experiment, or the document; the page and pictures if they are wanted."""
    from vmdedup.report.experiments import as_text, write_page
    from vmdedup.result.experiments import read_experiments

    check_ending(pictures)
    document = read_experiments(file)
    chosen = document | {"experiments": _chosen(document["experiments"], names or (), file)}
    if docs is not None:
        write_page(chosen, docs, force, pictures)
    if as_json:
        say_document(chosen)
        return
    for experiment in chosen["experiments"]:
        say(as_text(experiment) + "\n")


def check_ending(ending: str) -> None:
    """UsageError: no picture can have this ending."""
    from vmdedup.report.plot import check_ending as check

    check(ending)


def _chosen(experiments: Sequence[dict[str, Any]], names: Sequence[str], file: Path) -> list[dict[str, Any]]:
    from vmdedup.errors import UsageError

    known = {experiment["name"]: experiment for experiment in experiments}
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"{file} has no experiment {unknown[0]!r}; it has {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(names)] if names else list(experiments)
