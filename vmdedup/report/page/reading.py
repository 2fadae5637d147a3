"""What each path is that a page is to be made of: results of runs, a sweep, or the document of a scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vmdedup.errors import UsageError
from vmdedup.report.compare.reading import distinct_labels
from vmdedup.result.decoding import DECODER
from vmdedup.result.opening import list_parts, open_result
from vmdedup.result.reading import read_document, read_lines
from vmdedup.result.run import Result
from vmdedup.result.sweep_directory import ABOUT, ROWS

SCAN = "scan"


@dataclass
class Found:
    """runs: by a label that tells them apart. sweeps: sweep.json and its rows. scans: documents by their file."""

    runs: dict[str, Result] = field(default_factory=dict)
    sweeps: list[tuple[str, Mapping[str, Any], list[Mapping[str, Any]]]] = field(default_factory=list)
    scans: dict[str, Mapping[str, Any]] = field(default_factory=dict)


def read_all(paths: Sequence[Path]) -> Found:
    """UsageError: one of them is nothing that a page can show."""
    found, places = Found(), list[Path]()
    for path in paths:
        if path.is_dir() and (path / ABOUT).exists():
            found.sweeps.append((path.name, *_sweep(path)))
        elif path.is_file():
            found.scans[str(path)] = _scan(path)
        elif path.is_dir():
            places += list_parts(path).values()
        else:
            raise UsageError(f"{path} does not exist; give the results directory of a run (below runs/ if not told)")
    labels = distinct_labels([place.absolute().parts for place in places])
    with DECODER:  # one process for all tables
        found.runs = {label: open_result(place) for place, label in zip(places, labels, strict=True)}
    return found


def _sweep(path: Path) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
    about = read_document(path / ABOUT)
    rows: list[Mapping[str, Any]] = list(read_lines(path / ROWS)) if (path / ROWS).exists() else []
    wanted = {"run", "seed", "ended", *(axis["name"] for axis in about.get("axes", ()))}
    if "scenario" not in about or any(not wanted <= row.keys() for row in rows):
        raise UsageError(f"{path} is no sweep that vmdedup has made, or is damaged; run the sweep again")
    return about, rows


def _scan(path: Path) -> Mapping[str, Any]:
    document = read_document(path)
    if document.get("kind") != SCAN:
        raise UsageError(f"{path} is no document of a scan; give a directory, or what vmdedup scan --json printed")
    return document
