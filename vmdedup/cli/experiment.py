"""vmdedup experiment list | run: published experiments, the papers' figures beside ours."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmdedup.cli import experiment_show
from vmdedup.cli.say import Progress, say, say_document

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from vmdedup.papers.bench.base import Bench, Dumped, Experiment

app = typer.Typer(
    help="Published experiments, run again: paper, ours, difference, verdict.\n\n\b\n"
    "  vmdedup experiment list\n"
    "  vmdedup experiment run de-figure2\n"
    "  vmdedup experiment run all\n"
    "  vmdedup experiment show docs/results/experiments.json --docs docs/",
    no_args_is_help=True,
    rich_markup_mode=None,
)

app.command("show", help=experiment_show.HELP, short_help="Show, and draw again, what was kept of experiments.")(
    experiment_show.show
)
_JSON = Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead.")]
SCHEMA_VERSION = 2
SEEDS, QUICK_SEEDS = 3, 1
_Seeds = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, max=100, help=f"Seeds, each a run [default: {SEEDS}; --quick: {QUICK_SEEDS}]."),
]
_Jobs = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, max=64, help="Seeds run beside each other [default: as many as processors]."),
]
_progress = Progress(patience=0.0)
FILE = "experiments.json"
TURN = "vmdedup.cli.experiment_turn"


@app.command("list")
def list_experiments(as_json: _JSON = False) -> None:
    """Every experiment, with the paper that it is from.

    \b
      vmdedup experiment list
    """
    from vmdedup.papers.bench.published import published_figures
    from vmdedup.papers.table import EXPERIMENTS

    found = [
        {"name": each.name, "title": each.title, "source": published_figures(each.published).source}
        for each in EXPERIMENTS.values()
    ]
    if as_json:
        _print({"experiments": found})
        return
    width = max(len(each["name"]) for each in found)
    for each in found:
        say(f"{each['name']:<{width}}  {each['title']}. {each['source']}.")


@app.command("run")
def run(
    names: Annotated[list[str], typer.Argument(metavar="NAME…", help="From the list, or all.")],
    as_json: _JSON = False,
    quick: Annotated[bool, typer.Option("--quick", help="Smaller guests, on generated disks only.")] = False,
    seeds: _Seeds = None,
    jobs: _Jobs = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for experiments.json.")] = None,
    docs: Annotated[Path | None, typer.Option(help="Folder for results.md and its pictures (all: docs).")] = None,
    pictures: experiment_show.Pictures = "svg",
    dumps: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE", help="A memory dump in place of our guests, as `vmdedup scan` takes it; repeatable."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files there that vmdedup did not make.")] = False,
) -> int:
    """Run experiments, and print what the paper has, what we have, and how that is to be judged.

    A level agrees if it is within a fifth of the paper's, or within what reading it off a plot may be off.

    \b
      vmdedup experiment run de-table1 de-figure2
      vmdedup experiment run all --quick --json
      vmdedup experiment run all --docs docs/
      vmdedup experiment run xlh-boot --seeds 9 --jobs 2
      vmdedup experiment run de-table1 de-figure2 --dumps vm1.raw --dumps vm2.elf
    """
    from vmdedup.cli.dumped import read_dumps
    from vmdedup.papers.table import ALL, choose

    experiment_show.check_ending(pictures)
    chosen = choose(names)
    dumped = read_dumps(dumps, chosen, _progress.show) if dumps else None
    if docs is None and ALL in names and not quick:
        docs = Path("docs")
    places = Places(output, docs, force, pictures)
    places.check(chosen)
    given = [*names, *(["--quick"] if quick else []), *([f"--seeds {seeds}"] if seeds else [])]
    given += [f"--dumps {dump}" for dump in dumps or []]
    often = seeds or (QUICK_SEEDS if quick else SEEDS)
    found: list[dict[str, Any]] = []
    try:
        with closing(_documents(chosen, often, quick, dumped, jobs)) as documents:
            for document in documents:
                found.append(document)
                places.keep(_document(found, given))
                if not as_json:
                    _show(found[-1])
    except KeyboardInterrupt:
        if as_json and found:
            say_document(_document(found, given))
        raise
    finally:
        _progress.clear()
    places.write_page(_document(found, given))
    if as_json:
        say_document(_document(found, given))
    return 0


def _documents(
    chosen: Sequence[Experiment], seeds: int, quick: bool, dumped: Dumped | None, jobs: int | None
) -> Generator[dict[str, Any]]:
    """What was found by each, one after the other; where there is more than one thing to do, side by side."""
    from vmdedup.papers.bench.beside import Beside

    jobs = min(jobs or len(os.sched_getaffinity(0)), seeds * len(chosen))
    if jobs == 1 or dumped is not None:
        for number, experiment in enumerate(chosen, 1):
            title = f"{experiment.name} ({number} of {len(chosen)})"
            yield experiment.run(_bench(title, quick, dumped), seeds)
        return
    with Beside(jobs, TURN, quick, _progress.show) as beside:
        yield from beside.documents(chosen, seeds)


def _bench(title: str, quick: bool, dumped: Dumped | None) -> Bench:
    """A bench that shows its progress."""
    from vmdedup.papers.bench.base import Bench

    return Bench(quick, lambda text: _progress.show(f"{title}: {text}"), dumped)


def _show(experiment: dict[str, Any]) -> None:
    from vmdedup.report.experiments import as_text

    _progress.clear()
    say(as_text(experiment) + "\n")


def _document(found: list[dict[str, Any]], given: list[str]) -> dict[str, Any]:
    """given: what followed `run`, as far as it decides figures."""
    command = " ".join(["vmdedup", "experiment", "run", *given])
    return {"schema_version": SCHEMA_VERSION, "command": command, "experiments": found}


@dataclass
class Places:
    """Where the figures go: experiments.json after each experiment, the page with its pictures at the end."""

    output: Path | None
    docs: Path | None
    force: bool
    pictures: str

    def check(self, chosen: Sequence[Experiment]) -> None:
        """UsageError: a file stands there that must not be replaced. Before any work is done."""
        from vmdedup.outputs import check_output, make_folder
        from vmdedup.report.experiments import page_files

        files = [self.output / FILE] if self.output is not None else []
        if self.docs is not None:
            files += page_files(self.docs, [each.name for each in chosen], self.pictures)
        for path in files:
            make_folder(path.parent)
            check_output(path, self.force)

    def keep(self, document: dict[str, Any]) -> None:
        """Have what was found so far on disk."""
        from vmdedup.outputs import Output, make_folder
        from vmdedup.shown import json_text

        if self.output is not None:
            make_folder(self.output)
            with Output(self.output / FILE, force=self.force or len(document["experiments"]) > 1) as output:
                output.write_bytes(f"{json_text(document)}\n".encode())

    def write_page(self, document: dict[str, Any]) -> None:
        """The page of documentation."""
        from vmdedup.report.experiments import write_page

        if self.docs is not None:
            write_page(document, self.docs, self.force, self.pictures)


def _print(document: dict[str, Any]) -> None:
    say_document({"schema_version": SCHEMA_VERSION, **document})
