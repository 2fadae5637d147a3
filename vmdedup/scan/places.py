"""The most frequent contents: where they stand, and what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmdedup.scan.fingerprint import Hasher
from vmdedup.scan.stream import Stream
from vmdedup.units import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from vmdedup.scan.counting import Tally
    from vmdedup.scan.source import Piece, Source

    Entry = dict[str, Any]

BEGINNING = 16  # bytes of a content that are shown


def most_frequent(tally: Tally, zero: bytes, stream: Stream, sources: Sequence[Source], hasher: Hasher) -> list[Entry]:
    """The most frequent contents as entries of the document; zeros, if there are two pages of them, take part."""
    entries: list[Entry] = []
    places: list[dict[bytes, tuple[Entry, Entry]]] = [{} for _ in sources]  # by dump and content: entry, its place
    for copies, content, by_dump in _with_zeros(tally, zero):
        entry: Entry = {"copies": copies, "kind": "zero" if content == zero else "unknown", "dumps": []}
        entries.append(entry)
        for dump, count in enumerate(by_dump):
            if count:
                place = {"name": sources[dump].name, "copies": count, "region": None, "page": None}
                entry["dumps"].append(place)
                places[dump][content] = entry, place
    for dump, source in enumerate(sources):
        found = stream.find(dump, places[dump])
        for at, piece, row in source.pick(found):
            entry, place = places[dump][found[at]]
            place["region"], place["page"] = source.regions[piece.region][0], int(piece.numbers[row])
            if source.has_contents and entry["kind"] == "unknown":
                _describe(entry, piece, row, found[at], hasher)
    return entries


def _with_zeros(tally: Tally, zero: bytes) -> list[tuple[int, bytes, tuple[int, ...]]]:
    zeros = sum(tally.zero)
    ranked = list(tally.frequent)
    if zeros > 1:
        ranked.append((zeros, zero, tuple(tally.zero)))
        ranked.sort(key=lambda entry: (-entry[0], entry[1]))
    return ranked[: tally.top]


def _describe(entry: Entry, piece: Piece, row: int, content: bytes, hasher: Hasher) -> None:
    """What a page holds: one byte all over, or how it begins. Memory that has changed since stays unknown."""
    loaded, times = piece.load()
    at = row * PAGE_SIZE if times == 1 else 0
    page = bytes(memoryview(loaded)[at : at + PAGE_SIZE])
    if hasher.digest(page) != content:
        return
    is_fill = page == page[:1] * PAGE_SIZE
    entry["kind"] = "fill" if is_fill else "data"
    entry["begins"] = page[: 1 if is_fill else BEGINNING].hex()
