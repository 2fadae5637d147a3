"""What a dump holds, read as any consumer would, with every promise of vmdedup.dump.base checked on the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vmdedup.dump.base import BLOCK_PAGES, Dump
from vmdedup.dump.open import open_dump
from vmdedup.errors import DumpError
from vmdedup.units import PAGE_SIZE


def contents(dump: Dump) -> dict[int, bytes]:
    """Every present page by number."""
    after = 0
    for region in dump.regions:
        assert region.first >= after
        assert region.pages > 0
        after = region.first + region.pages
    pages: dict[int, bytes] = {}
    for block in dump.blocks():
        region = dump.regions[block.region]
        assert 0 < len(block) <= BLOCK_PAGES
        assert block.numbers.dtype == np.int64
        assert (np.diff(block.numbers) > 0).all()
        assert region.first <= block.numbers[0]
        assert block.numbers[-1] < region.first + region.pages
        rows = block.load()
        assert rows.dtype == np.uint8
        assert rows.shape == (len(block), PAGE_SIZE)
        assert not rows.flags.writeable
        numbers = block.numbers.tolist()
        assert not pages.keys() & set(numbers)
        pages.update(zip(numbers, (row.tobytes() for row in rows), strict=True))
    assert len(pages) == dump.present
    assert dump.absent == dump.pages - dump.present >= 0
    return pages


def contents_of(path: str | Path) -> dict[int, bytes]:
    """Every present page of a dump by number."""
    with open_dump(path) as dump:
        return contents(dump)


def refused(path: Path | str, match: str | None = None) -> str:
    """The one line with which a dump is refused."""
    with pytest.raises(DumpError, match=match) as caught:
        contents_of(path)
    line = str(caught.value)
    assert "\n" not in line
    assert str(path).split(":")[-1].split("+")[-1] in line
    return line
