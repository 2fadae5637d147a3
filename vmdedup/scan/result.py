"""The answer of a scan, as the document that --json prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import vmdedup
from vmdedup.units import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from vmdedup.scan.counting import Tally
    from vmdedup.scan.frames import Frames
    from vmdedup.scan.source import Source

SCHEMA_VERSION = 1
MIB = 1 << 20


class ScanResult:
    """What dumps hold. document: all of it, as --json prints it; the rest is read from there."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document

    @property
    def total(self) -> dict[str, Any]:
        """Figures over all dumps together."""
        found: dict[str, Any] = self.document["total"]
        return found

    @property
    def dumps(self) -> list[dict[str, Any]]:
        """Figures of each dump alone."""
        found: list[dict[str, Any]] = self.document["dumps"]
        return found

    @property
    def partial(self) -> bool:
        """Whether the scan was interrupted: figures are of what had been read."""
        return bool(self.document["partial"])


def document(
    sources: Sequence[Source],
    tally: Tally,
    partial: bool,
    salt_id: str | None,
    top: list[dict[str, Any]],
    frames: Frames | None = None,
) -> dict[str, Any]:
    """The document. Every figure counts pages, unless its name ends in _mib. frames: of live processes."""
    total, dumps = _total(sources, tally), [_dump(source, tally, at) for at, source in enumerate(sources)]
    for at, figures in enumerate((total, *dumps)):
        figures["frames"] = frames and (frames.of(at - 1) if at else frames.total())
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "scan",
        "vmdedup": vmdedup.__version__,
        "page_size": PAGE_SIZE,
        "partial": partial,
        "salt_id": salt_id,
        "total": total,
        "dumps": dumps,
        "matrix": _matrix(sources, tally),
        "top": top,
        "subpage": None,
    }


def _total(sources: Sequence[Source], tally: Tally) -> dict[str, Any]:
    pages, zero = sum(tally.pages), sum(tally.zero)
    within = pages - sum(tally.distinct)
    between = sum(tally.distinct) - tally.total_distinct
    figures = _figures(pages, zero, tally.total_distinct, tally.total_shared)
    return figures | {
        "pages": sum(source.pages for source in sources),
        "absent": sum(source.pages - source.present for source in sources),
        "reserved": sum(source.reserved for source in sources),
        "sharing_within": within,
        "sharing_between": between,
        "saved_within_mib": _mib(within),
        "saved_between_mib": _mib(between),
    }


def _dump(source: Source, tally: Tally, at: int) -> dict[str, Any]:
    figures = _figures(tally.pages[at], tally.zero[at], tally.distinct[at], tally.shared[at])
    return figures | {
        "name": source.name,
        "format": source.format,
        "pages": source.pages,
        "absent": source.pages - source.present,
        "reserved": source.reserved,
        "regions": [{"name": name, "first": first, "pages": pages} for name, first, pages in source.regions],
    }


def _figures(pages: int, zero: int, distinct: int, shared: int) -> dict[str, Any]:
    """From pages and contents that are not zero, and pages of zeros; zeros are one content more."""
    sharing = pages - distinct + max(0, zero - 1)
    return {
        "read": pages + zero,
        "zero": zero,
        "distinct": distinct + (zero > 0),
        "shared": shared + (zero > 1),
        "sharing": sharing,
        "sharing_zero": max(0, zero - 1),
        "saved_mib": _mib(sharing),
        "saved_zero_mib": _mib(max(0, zero - 1)),
    }


def _matrix(sources: Sequence[Source], tally: Tally) -> list[dict[str, Any]]:
    """Every pair of dumps, and each with itself: there, contents that it has more than once, and their pages."""
    rows = []
    for b, later in enumerate(sources):
        for a, earlier in enumerate(sources[:b]):
            contents, pages = tally.contents.get((a, b), 0), tally.common.get((a, b), (0, 0))
            row = {"dumps": [earlier.name, later.name], "contents": contents, "pages": list(pages)}
            rows.append(row | {"saved_mib": _mib(contents)})
    return rows


def _mib(pages: int) -> float:
    return pages * PAGE_SIZE / MIB
