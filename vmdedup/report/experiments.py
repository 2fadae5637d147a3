"""What published experiments came to: as text, and as a page of documentation with pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vmdedup.errors import EnvironmentLacksError
from vmdedup.outputs import MARK, Output, make_folder
from vmdedup.report.plot import Frame, Kind, Line, plot_lines
from vmdedup.shown import json_text

Document = Mapping[str, Any]
PAGE = "results.md"
PICTURES = "results"
KEPT = "experiments.json"  # all figures: what pictures can be drawn from again
_HEADINGS = ("figure", "unit", "paper", "ours", "least to most", "difference", "verdict", "rule")
_NUMBERS = ("paper", "ours", "least to most", "difference")


_MEANINGS = {
    "level agrees": "ours is within a fifth of the paper's figure, or within what that may be off by being read off a "
    "plot or given as a range; the paper's ordering holds with every seed",
    "direction only": "the paper's ordering or direction holds with every seed; the level does not, or it has none",
    "disagrees": "neither",
    "put in": "the input was made with the very share that is measured: counted neither for us nor against us",
    "no figure published": "the paper has no figure for it, and claims nothing of it",
    "own claim holds": "a claim that no paper makes, but we do",
    "own claim fails": "the same, and it is not so",
}


def as_text(experiment: Document) -> str:
    """One experiment for a terminal: its figures in columns."""
    rows = [_HEADINGS, *map(_cells, experiment["rows"])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    lines = [
        f"{experiment['name']}: {experiment['title']}",
        f"  {experiment['source']} ({experiment['certainty']})",
        "",
    ]
    for row in rows:
        cells = (
            cell.rjust(width) if _HEADINGS[place] in _NUMBERS else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join(cells).rstrip())
    return "\n".join([*lines, "", *(f"  {experiment[key]}" for key in ("stand_in", "note") if experiment[key])])


def page_files(folder: Path, experiments: Iterable[str], ending: str = "svg") -> Iterator[Path]:
    """Every file that write_page() may write for these experiments."""
    yield folder / PAGE
    yield folder / PICTURES / KEPT
    yield from (folder / PICTURES / f"{name}.{ending}" for name in experiments)


def write_page(document: Document, folder: Path, force: bool = False, ending: str = "svg") -> Path:
    """Write results.md into a folder, with all figures, and with pictures if matplotlib is there.

    force: replace files there, whatever they are. ending: of the pictures, as report.plot has them. VmdedupError: it
    cannot be written.
    """
    make_folder(folder / PICTURES)
    with Output(folder / PICTURES / KEPT, force) as kept:
        kept.write_bytes(f"{json_text({**document, 'made_by': MARK})}\n".encode())
    pictures = _draw(document["experiments"], folder, force, ending)
    with Output(folder / PAGE, force) as page:
        page.write_bytes(("\n".join(_page(document, pictures)) + "\n").encode())
    return folder / PAGE


def _draw(experiments: Sequence[Document], folder: Path, force: bool, ending: str) -> dict[str, str]:
    """Pictures by experiment, as paths from the folder."""
    pictures = {}
    for experiment in experiments:
        if not experiment["curves"]:
            continue
        place = f"{PICTURES}/{experiment['name']}.{ending}"
        try:
            plot_lines(lines_of(experiment), folder / place, frame_of(experiment), force)
        except EnvironmentLacksError:
            return {}
        pictures[experiment["name"]] = place
    return pictures


def lines_of(experiment: Document) -> list[Line]:
    """What is drawn of an experiment."""
    return [
        Line(curve["label"], curve["x"], curve["y"], curve["panel"], Kind(curve["kind"] or Kind.OURS))
        for curve in experiment["curves"]
    ]


def frame_of(experiment: Document) -> Frame:
    """What stands around it."""
    x, y = experiment["axes"]
    return Frame(x, y, experiment["title"], experiment["log"])


def _page(document: Document, pictures: Mapping[str, str]) -> Iterator[str]:
    yield f"<!-- {MARK} -->"
    yield "# Published experiments, run again"
    yield ""
    yield f"Written by `{document['command']}`; every number in the columns of ours is from that run. Above each table"
    yield "stands what was put in. Ours is the mean over the seeds that were run, beside it the least and most of them;"
    yield "remarks below the tables and pictures are of the first seed. Times and CPU are virtual and modelled, but for"
    yield "those of Difference Engine's operations one by one."
    yield ""
    yield from _counts(document["experiments"])
    yield ""
    yield f"In pictures, what a paper says is dotted. All figures are in [{KEPT}]({PICTURES}/{KEPT}), of which"
    yield f"`vmdedup experiment show {PICTURES}/{KEPT} --docs FOLDER` makes this page and its pictures again."
    for experiment in document["experiments"]:
        yield from _section(experiment, pictures.get(experiment["name"]))


def _counts(experiments: Sequence[Document]) -> Iterator[str]:
    """How many rows have each verdict, and what it means."""
    found = Counter(row["verdict"] for experiment in experiments for row in experiment["rows"])
    yield "| verdict | rows | what it says |"
    yield "|---|---:|---|"
    for verdict, meaning in _MEANINGS.items():
        yield f"| {verdict} | {found[verdict]} | {meaning} |"


def _section(experiment: Document, picture: str | None) -> Iterator[str]:
    yield ""
    yield f"## {experiment['title']}"
    yield ""
    yield f"`vmdedup experiment run {experiment['name']}`, {_seeds(experiment)}."
    yield f"{experiment['source']}. Certainty: {experiment['certainty']}."
    yield ""
    yield f"{experiment['stand_in']}"
    yield ""
    yield f"| {' | '.join(_HEADINGS)} |"
    yield "|---|---|---:|---:|---:|---:|---|---|"
    for row in experiment["rows"]:
        yield f"| {' | '.join(_cells(row))} |"
    if experiment["note"]:
        yield ""
        yield experiment["note"]
    if picture:
        yield ""
        yield f"![{experiment['title']}]({picture})"


def _seeds(experiment: Document) -> str:
    """With how many seeds it was run."""
    seeds = max((row["seeds"] for row in experiment["rows"]), default=1)
    return f"{seeds} seeds" if seeds > 1 else "1 seed"


def _cells(row: Document) -> tuple[str, ...]:
    difference = "-" if row["difference"] is None else f"{row['difference']:+.4g}"
    return (
        row["figure"],
        row["unit"],
        "-" if row["paper"] is None else f"{row['paper']:,.4g}",
        f"{row['ours']:,.4g}",
        "-" if row["seeds"] == 1 else f"{row['low']:,.4g} to {row['high']:,.4g}",
        difference,
        row["verdict"],
        row["rule"],
    )
