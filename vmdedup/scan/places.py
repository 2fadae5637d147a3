"""The most frequent contents: where they stand, and what they are."""

from __future__ import annotations

from vmdedup.scan.fingerprint import PAGE_SIZE, Hasher
from vmdedup.scan.partitions import Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from vmdedup.scan.counting import Tally
    from vmdedup.scan.source import Piece, Source

    Wanted = dict[int, tuple[dict[str, Any], dict[str, Any], bytes]]

BEGINNING = 16  # bytes of a content that are shown


def most_frequent(
    tally: Tally, zero: bytes | None, stream: Stream, sources: Sequence[Source], hasher: Hasher
) -> list[dict[str, Any]]:
    """The most frequent contents as entries of the document; zeros, if there are two pages of them, take part."""
    entries: list[dict[str, Any]] = []
    wanted: list[Wanted] = [{} for _ in sources]
    for copies, content, by_dump in _with_zeros(tally, zero):
        is_zero = content == zero
        entry: dict[str, Any] = {"copies": copies, "kind": "zero" if is_zero else "unknown", "dumps": []}
        entries.append(entry)
        for dump, count in enumerate(by_dump):
            if count:
                place = {"name": sources[dump].name, "copies": count, "region": None, "page": None}
                entry["dumps"].append(place)
                at = stream.find(dump, content)
                if at is not None:
                    wanted[dump][at] = (entry, place, content)
    for source, places in zip(sources, wanted, strict=True):
        _locate(source, places, hasher)
    return entries


def _with_zeros(tally: Tally, zero: bytes | None) -> list[tuple[int, bytes, tuple[int, ...]]]:
    zeros = sum(tally.zero)
    ranked = list(tally.frequent)
    if zero is not None and zeros > 1:
        ranked.append((zeros, zero, tuple(tally.zero)))
        ranked.sort(key=lambda entry: (-entry[0], entry[1]))
    return ranked[: tally.top]


def _locate(source: Source, wanted: Wanted, hasher: Hasher) -> None:
    """Fill in the regions and page numbers of pages wanted by their number in the dump, and what they hold."""
    before, left = 0, len(wanted)
    for piece in source.pieces() if wanted else ():
        after = before + len(piece.numbers)
        for at in [at for at in wanted if before <= at < after]:
            entry, place, content = wanted[at]
            region = source.regions[piece.region]
            place["region"], place["page"] = region[0], int(piece.numbers[at - before])
            if source.has_contents and entry["kind"] == "unknown":
                _describe(entry, piece, at - before, content, hasher)
            left -= 1
        before = after
        if not left:
            return


def _describe(entry: dict[str, Any], piece: Piece, row: int, content: bytes, hasher: Hasher) -> None:
    """What a page holds: one byte all over, or how it begins. Memory that has changed since stays unknown."""
    loaded, times = piece.load()
    at = row * PAGE_SIZE if times == 1 else 0
    page = bytes(memoryview(loaded)[at : at + PAGE_SIZE])
    if hasher.digest(page) != content:
        return
    is_fill = page == page[:1] * PAGE_SIZE
    entry["kind"] = "fill" if is_fill else "data"
    entry["begins"] = page[: 1 if is_fill else BEGINNING].hex()
