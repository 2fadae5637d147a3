"""Whether runs differ more than was allowed: for continuous integration, with an exit status of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from vmdedup.errors import UsageError

GATED: Final = ("saved_pages", "pages_shared", "pages_sharing")


def violations(document: Mapping[str, Any], allowed: float, names: Sequence[str] = ()) -> list[str]:
    """A line for each figure that differs by more than `allowed` per cent from the first run's.

    names: the figures to look at; without any, those of GATED that are known. UsageError: no such figure, or none
    that can be compared.
    """
    figures = {figure["name"]: figure for figure in document["figures"]}
    chosen = list(names) or [name for name in GATED if name in figures and None not in figures[name]["values"]]
    if unknown := [name for name in chosen if name not in figures]:
        raise UsageError(f"there is no figure {unknown[0]!r}; there are {', '.join(figures)}")
    if not chosen:
        raise UsageError(f"none of {', '.join(GATED)} is known of all; name figures that are with --fail-on")
    labels = [run["label"] for run in document["runs"]]
    return [line for name in chosen for line in _violations(figures[name], labels, allowed)]


def _violations(figure: Mapping[str, Any], labels: Sequence[str], allowed: float) -> list[str]:
    lines = []
    pairs = list(zip(labels, figure["differences"], figure["percent"], strict=True))[1:]
    for label, difference, percent in pairs:
        if difference is None:
            lines.append(f"{figure['name']} is not known of {labels[0]} and {label} both")
        elif percent is None or abs(percent) > allowed:
            size = "from 0" if percent is None else f"by {percent:+.2f} %"
            lines.append(f"{figure['name']} of {label} differs {size}; {allowed:g} % are allowed")
    return lines
