"""What was learnt of a kind of guests, for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vmdedup.shown import shown
from vmdedup.units import PAGE_SIZE, format_size

_MOST_NAMES = 6
_MOST_LETTERS = 60


def lines(document: Mapping[str, Any], of_what: str) -> Iterator[str]:
    """The kind, what is foretold, and what a check found. document: see learn.answer. of_what: a name for it."""
    boots = document["boots"]
    names = ", ".join(_short(boot["name"]) for boot in boots[:_MOST_NAMES])
    more = f" and {len(boots) - _MOST_NAMES} more" if len(boots) > _MOST_NAMES else ""
    size = format_size(document["pages"] * PAGE_SIZE)
    yield f"{of_what}: {len(boots)} boot{'s' if len(boots) != 1 else ''} of {size}: {names}{more}"
    yield _classes(document["classes"])
    yield _life(document["life"])
    yield ""
    yield from _forecast(document["forecast"], document["covers"])
    if document["check"] is not None:
        yield ""
        yield from _check(document["check"])


def _classes(classes: Mapping[str, Any]) -> str:
    parts = [f"zero {classes['zero_percent']:.1f} %", f"repeated inside {classes['within_percent']:.1f} %"]
    if classes["in_all_percent"] is None:
        parts.append("the rest: from one boot nobody can know what others share")
    else:
        parts.append(f"in all boots {classes['in_all_percent']:.1f} %")
        if classes["some_percent"]:
            parts.append(f"in some {classes['some_percent']:.1f} %")
        parts.append(f"one's own {classes['alone_percent']:.1f} %")
    parts += [f"packs to {classes['packed_percent']:.0f} %", f"like another content {classes['like_percent']:.1f} %"]
    return "; ".join(parts)


def _life(life: Mapping[str, Any] | None) -> str:
    if life is None:
        return "changes over time: not known; learn from recordings (vmdedup record)"
    to = ", ".join(f"{name} {100 * share:.0f} %" for name, share in life["to"].items())
    rate, step = life["pages_a_step"], life["interval_s"]
    return f"changes: {rate:,.0f} of {life['changing_pages']:,} pages every {step:.3g} s, to {to}"


def _forecast(rows: list[dict[str, Any]], covers: float) -> Iterator[str]:
    table = [["guests", "memory MiB", "saved", "zero", "within", "between", "%", f"{100 * covers:.0f} % interval"]]
    for row in rows:
        figures = [row[f"{name}_mib"] for name in ("memory", "saved", "zero", "within", "between")]
        cells = ["?" if figure is None else f"{figure:,.1f}" for figure in figures]
        percent = "?" if row["saved_percent"] is None else f"{row['saved_percent']:.1f}"
        interval = f"{row['low_percent']:.1f} to {row['high_percent']:.1f}"
        table.append([str(row["guests"]), *cells, percent, interval])
    yield from _aligned(table)


def _check(check: Mapping[str, Any]) -> Iterator[str]:
    for dump in check["dumps"]:
        if dump["reason"]:
            yield f"flagged: {shown(dump['reason'])}; nothing is foretold of it"
    if not check["rows"]:
        return
    table = [["checked", "guests", "saved %", "foretold", "off by", "interval", ""]]
    for row in check["rows"]:
        off = row["foretold_percent"] - row["saved_percent"]
        interval = f"{row['low_percent']:.1f} to {row['high_percent']:.1f}"
        figures = [f"{row['saved_percent']:.2f}", f"{row['foretold_percent']:.2f}", f"{off:+.2f}"]
        table.append([row["of"], str(row["guests"]), *figures, interval, "inside" if row["inside"] else "OUTSIDE"])
    yield from _aligned(table)
    yield f"{check['inside']} of {check['cases']} inside their interval"


def _short(text: str) -> str:
    return shown(text[:_MOST_LETTERS]) + ("…" if len(text) > _MOST_LETTERS else "")


def _aligned(rows: list[list[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
