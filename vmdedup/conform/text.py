"""What came out, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vmdedup.conform.conform import WHICH_FILES, Found, Report
from vmdedup.ksm.profile import FILES
from vmdedup.replay.compare import render

SCHEMA_VERSION = 1
# What the kernel does otherwise, where a behaviour of ksm.profile explains it.
_SAID = {
    "checksum_first": "whether a page that has changed is left alone, or first looked for in the stable tree",
    "fork_starts_anew": "whether a child's counters start at nothing, or with its parent's",
    "chain_of_one_goes": "whether a chain of one goes in any walk, or in one that prunes",
    "zero_pages_known": "whether zero pages that ksmd placed are counted, and undone by run=2 and MADV_UNMERGEABLE",
    "absent_is_told": "what is said of the node of a page that is absent",
    "move_counts_last": "how many pages move_pages says that it left",
    "items_start_anew": "whether a page that leaves the stable tree keeps its checksum, age and skips",
}


def text(report: Report, kernel: str, wanted: str) -> str:
    """A table by subject, each difference with its smallest script and what it prints, and the verdict."""
    rows = [("subject", "scripts", "differ")]
    rows += [(name, str(one.scripts), str(one.differ)) for name, one in sorted(report.tallies.items())]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows]
    for number, found in enumerate(report.found, 1):
        lines += ["", *_difference(number, found, kernel, wanted)]
    return "\n".join([*lines, "", _verdict(report, kernel, wanted)])


def _difference(number: int, found: Found, kernel: str, wanted: str) -> Iterator[str]:
    yield f"{number}. {_title(found)} ({', '.join(found.subjects)}; {found.origin})"
    yield from (f"    {line}" for line in found.script)
    step = found.script[found.shown.line - 1] if found.shown.line <= len(found.script) else ""
    yield from (f"  {line}" for line in render(found.shown, [wanted, kernel], step).splitlines())


def _title(found: Found) -> str:
    if found.cause == WHICH_FILES:
        return "which files and counters there are"
    if found.cause in FILES:
        return f"whether there is {found.cause}"
    return _SAID.get(found.cause, found.cause) or "no behaviour of another version explains it"


def _verdict(report: Report, kernel: str, wanted: str) -> str:
    count = report.tallies["trees"].scripts if report.tallies else 0
    more = f"; {report.left_out} left out, with steps that the emulator does not have" if report.left_out else ""
    if report.is_equal:
        return f"equal: {kernel} prints what Linux {wanted} does, in {count} scripts{more}"
    return f"DIFFERENT: {kernel} is no Linux {wanted}, in {len(report.found)} ways, in {count} scripts{more}"


def document(report: Report, kernel: str, wanted: str) -> dict[str, Any]:
    """The same as one JSON document."""
    return {
        "schema_version": SCHEMA_VERSION,
        "kernel": kernel,
        "as": wanted,
        "equal": report.is_equal,
        "left_out": report.left_out,
        "subjects": {name: {"scripts": one.scripts, "differ": one.differ} for name, one in report.tallies.items()},
        "differences": [
            {
                "cause": found.cause,
                "title": _title(found),
                "subjects": list(found.subjects),
                "origin": found.origin,
                "script": list(found.script),
                "emulator": found.shown.sides[0],
                "kernel": found.shown.sides[1],
            }
            for found in report.found
        ],
    }
