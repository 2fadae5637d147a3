"""What a user names to be compared: results directories, and files of published figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vmdedup.errors import UsageError
from vmdedup.report.compare.figures import Figures, from_result
from vmdedup.report.compare.published import published_figures
from vmdedup.result.decoding import DECODER
from vmdedup.result.opening import list_parts, open_result


def read_figures(paths: Sequence[Path]) -> list[Figures]:
    """The figures of results directories and of files of published figures, each labelled by the end of its path.

    UsageError: a path is neither.
    """
    places = [part for path in paths for part in _parts(path)]
    labels = distinct_labels([path.absolute().parts for path in places])
    with DECODER:  # one process for all tables
        return [
            published_figures(path) if _is_file(path) else from_result(open_result(path), label)
            for path, label in zip(places, labels, strict=True)
        ]


def _parts(path: Path) -> list[Path]:
    """What a path stands for: of a directory of several policies, each of its runs."""
    return [path] if _is_file(path) else list(list_parts(path).values())


def distinct_labels(parts: Sequence[tuple[str, ...]]) -> list[str]:
    """The last names of paths, as many of each as it takes to tell them apart; a number where nothing does."""
    for length in range(1, max(map(len, parts), default=0) + 1):
        labels = ["/".join(part[-length:]) for part in parts]
        if len(set(labels)) == len(labels):
            return labels
    return [f"{part[-1]} ({number})" for number, part in enumerate(parts, start=1)]


def _is_file(path: Path) -> bool:
    if not path.exists():
        raise UsageError(f"{path} does not exist; give the results directory of a run (below runs/ if not told)")
    return not path.is_dir()
