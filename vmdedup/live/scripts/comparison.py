"""A verification for people and for programs: a table counter by counter, scan by scan, and a document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from vmdedup.live.scripts.verify import Scan, Verification


def render(found: Verification) -> str:
    """A heading, and a table: a row a counter, a column a full scan; where the two differ, kernel≠emulator."""
    rows = [("", *(f"scan {scan.number}" for scan in found.scans)), *_rows(found.scans)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(_aligned(row, widths)).rstrip() for row in rows]
    return "\n".join([_heading(found), *lines, _verdict(found)])


def _aligned(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """Names to the left, figures to the right."""
    for column, (cell, width) in enumerate(zip(row, widths, strict=True)):
        yield cell.rjust(width) if column else cell.ljust(width)


def _heading(found: Verification) -> str:
    guests = ", ".join(f"{name} {pages:,}" for name, pages in found.pages.items())
    knobs = " ".join(f"{knob}={value}" for knob, value in sorted(found.knobs.items()))
    huge = sum(found.huge.values())
    kinds = f", {huge:,} of them in huge pages" if huge else ""
    return f"{sum(found.pages.values()):,} pages ({guests}){kinds}; {knobs}"


def _rows(scans: Sequence[Scan]) -> Iterator[tuple[str, ...]]:
    for name in scans[0].kernel if scans else ():
        cells = []
        for scan in scans:
            kernel, emulator = scan.kernel[name], scan.emulator[name]
            cells.append(f"{kernel:,}" if kernel == emulator else f"{kernel:,}≠{emulator:,}")
        yield (name, *cells)


def _verdict(found: Verification) -> str:
    counters = len(found.scans[0].kernel) if found.scans else 0
    if found.is_equal:
        return f"equal: {counters} counters after each of {len(found.scans)} full scans"
    differing = {name for scan in found.scans for name in scan.differences}
    return f"DIFFERENT: {len(differing)} of {counters} counters (kernel≠emulator)"


def document(found: Sequence[Verification]) -> dict[str, Any]:
    """All comparisons as one JSON document."""
    return {
        "schema_version": 1,
        "equal": all(one.is_equal for one in found),
        "comparisons": [
            {
                "knobs": dict(one.knobs),
                "pages": dict(one.pages),
                "huge_pages": dict(one.huge),
                "equal": one.is_equal,
                "scans": [
                    {
                        "scan": scan.number,
                        "kernel": dict(scan.kernel),
                        "emulator": dict(scan.emulator),
                        "differences": scan.differences,
                    }
                    for scan in one.scans
                ],
            }
            for one in found
        ],
    }
