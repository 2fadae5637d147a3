"""What a recording holds, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vmdedup.shown import shown
from vmdedup.units import format_duration, format_size

_MOST_COLUMNS = 6  # guests that get a column of their own
_MOST_LETTERS = 60  # of a guest's name
_MOST_SOURCE = 1000  # letters of what it was read from


def lines(summary: Mapping[str, Any]) -> Iterator[str]:
    """Guests, and below them pages that changed, step by step. summary: see recording.summary."""
    guests, steps = summary["guests"], summary["steps"]
    time_ns = round(steps[-1]["time_s"] * 1e9)
    counts = f"{_counted(len(guests), 'guest')}, {_counted(len(steps), 'step')} in {format_duration(time_ns)}"
    size = format_size(summary["bytes"])
    yield f"{summary['file']}: {counts}, {summary['distinct_pages']:,} different pages in {size}"
    if summary["note"]:
        yield f"note: {summary['note']}"
    yield ""
    rows = [["guest", "memory", "held at the end", "source"]]
    for guest, last in zip(guests, steps[-1]["guests"], strict=True):
        held = format_size(4096 * last["present_pages"])
        name, source = _short(guest["name"]), _short(guest["source"], _MOST_SOURCE)
        rows.append([name, format_size(4096 * guest["pages"]), held, source])
    yield from _aligned(rows)
    yield ""
    yield "pages changed since the step before"
    yield from _aligned(_changes(summary))


def _changes(summary: Mapping[str, Any]) -> list[list[str]]:
    """A row a step, a column a guest; of many guests, the sum."""
    names = [_short(guest["name"]) for guest in summary["guests"]]
    rows = [["step", "time", *(names if len(names) <= _MOST_COLUMNS else ["all guests"])]]
    for number, step in enumerate(summary["steps"]):
        changed = [guest["changed_pages"] for guest in step["guests"]]
        columns = changed if len(names) <= _MOST_COLUMNS else [sum(changed)]
        rows.append([str(number), f"{step['time_s']:.1f}s", *(f"{pages:,}" for pages in columns)])
    return rows


def _short(text: str, most: int = _MOST_LETTERS) -> str:
    """Recorded text as a table has it: fit to be shown, and as long as a table can be wide."""
    return shown(text[:most]) + ("…" if len(text) > most else "")


def _aligned(rows: list[list[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' if number != 1 else ''}"
