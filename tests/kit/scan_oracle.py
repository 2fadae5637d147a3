"""What a scan must say, counted the slow and obvious way; and dumps to be scanned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmdedup.dump.base import Block, Dump, Region, same_page

PAGE = 4096
ZERO = bytes(PAGE)
Pages = Sequence[bytes]


def page(number: int) -> bytes:
    """A page that is like no other; 0 is zeros, 1 is one byte all over."""
    if number < 2:
        return bytes([number * 0xCC]) * PAGE
    return number.to_bytes(8, "little") * (PAGE // 8)


def figures(pages: Pages) -> dict[str, int]:
    """Figures of pages taken together."""
    copies = Counter(pages)
    return {
        "read": len(pages),
        "zero": copies[ZERO],
        "distinct": len(copies) - (copies[ZERO] == 0 and ZERO in copies),
        "shared": sum(1 for n in copies.values() if n > 1),
        "sharing": sum(n - 1 for n in copies.values()),
        "sharing_zero": max(0, copies[ZERO] - 1),
    }


def expected(dumps: Sequence[Pages]) -> dict[str, Any]:
    """The whole answer: total, dumps, matrix, and how often the most frequent contents are there."""
    everything = [one for pages in dumps for one in pages]
    own = [[one for one in pages if one != ZERO] for pages in dumps]
    within = sum(len(pages) - len(set(pages)) for pages in own)
    total = figures(everything) | {
        "sharing_within": within,
        "sharing_between": sum(len(set(pages)) for pages in own) - len({one for pages in own for one in pages}),
    }
    matrix = {}
    for b, later in enumerate(own):
        for a, earlier in enumerate(own[:b]):
            both = set(earlier) & set(later)
            matrix[a, b] = (len(both), [sum(one in both for one in earlier), sum(one in both for one in later)])
    top = sorted((n for n in Counter(everything).values() if n > 1), reverse=True)
    return {"total": total, "dumps": [figures(pages) for pages in dumps], "matrix": matrix, "top": top}


def check(document: dict[str, Any], dumps: Sequence[Pages], top: int = 10) -> None:
    """Whether a scan's document says what it must."""
    truth = expected(dumps)
    names = [dump["name"] for dump in document["dumps"]]
    assert {key: document["total"][key] for key in truth["total"]} == truth["total"]
    for found, wanted in zip(document["dumps"], truth["dumps"], strict=True):
        assert {key: found[key] for key in wanted} == wanted
    pairs = {(names.index(row["dumps"][0]), names.index(row["dumps"][1])): row for row in document["matrix"]}
    assert {pair: (row["contents"], row["pages"]) for pair, row in pairs.items()} == truth["matrix"]
    assert [entry["copies"] for entry in document["top"]] == truth["top"][:top]


def check_places(document: dict[str, Any], dumps: Sequence[Pages], first: int = 0) -> None:
    """Whether the most frequent contents stand where it says, for dumps of one region from page `first` on."""
    names = [dump["name"] for dump in document["dumps"]]
    for entry in document["top"]:
        contents = set()
        for place in entry["dumps"]:
            pages = dumps[names.index(place["name"])]
            content = pages[place["page"] - first]
            contents.add(content)
            assert pages.index(content) == place["page"] - first, "not the first"
            assert pages.count(content) == place["copies"]
        assert len(contents) == 1
        assert_described(entry, contents.pop())


def assert_described(entry: dict[str, Any], content: bytes) -> None:
    """Whether a content is what it is said to be."""
    if content == ZERO:
        assert entry["kind"] == "zero"
    elif content == content[:1] * PAGE:
        assert (entry["kind"], entry["begins"]) == ("fill", content[:1].hex())
    else:
        assert (entry["kind"], entry["begins"]) == ("data", content[:16].hex())


def write_raw(path: Path, pages: Pages) -> Path:
    """A raw dump of these pages."""
    path.write_bytes(b"".join(pages))
    return path


class ListDump(Dump):
    """A dump of a list of pages; None is absent. Blocks of at most `most` pages; equal ones are given as one row."""

    format = "list"

    def __init__(self, name: str, pages: Sequence[bytes | None], most: int = 3, first: int = 0) -> None:
        self.name, self._pages, self._most, self._first = name, pages, most, first
        self.regions = [Region("low", first, len(pages))]
        self.closed = False

    @property
    def present(self) -> int:
        return sum(one is not None for one in self._pages)

    def blocks(self) -> Iterator[Block]:
        numbers = [number for number, one in enumerate(self._pages) if one is not None]
        for at in range(0, len(numbers), self._most):
            chosen = np.array(numbers[at : at + self._most], np.int64)
            yield Block(0, chosen + self._first, partial(self._load, chosen))

    def _load(self, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        rows = [np.frombuffer(self._pages[number] or b"", np.uint8) for number in numbers]
        if len({row.tobytes() for row in rows}) == 1:
            return same_page(rows[0], len(rows))
        return np.stack(rows)

    def close(self) -> None:
        self.closed = True
