"""Parts of readers that whole dumps reach only when they are huge or lie on rare file systems."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import dump_writers as write
from kit.dump_contents import contents
from kit.dump_writers_samples import PAGES
from vmdedup.dump import codecs, kdump
from vmdedup.dump.bitmap import ones_in, runs_of, set_bits
from vmdedup.dump.extents import HOLE, Extent, split_holes
from vmdedup.dump.open import open_dump
from vmdedup.dump.protobuf import fields
from vmdedup.errors import DumpError


@given(bits=st.sets(st.integers(0, 199)), cut=st.integers(1, 24), most=st.integers(1, 12))
def test_runs_over_the_parts_of_a_bitmap(bits: set[int], cut: int, most: int) -> None:
    whole = np.packbits([number in bits for number in range(200)], bitorder="little")
    parts = [(8 * at, whole[at : at + cut]) for at in range(0, len(whole), cut)]
    found = runs_of(parts, most)
    covered = [number for first, count in found for number in range(first, first + count)]
    assert covered == sorted(covered)
    assert set(covered) >= bits
    assert len(found) <= most
    if len(runs_of(parts, 200)) <= most:
        assert set(covered) == bits
    assert set_bits(whole).tolist() == sorted(bits)
    assert ones_in(whole) == len(bits)


def test_a_kdump_whose_pages_lie_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many regions become one, with absent pages in it."""
    monkeypatch.setattr(kdump, "MOST_REGIONS", 5)
    memory: write.Memory = {2 * number: PAGES[number % 5] for number in range(100)}
    (tmp_path / "d").write_bytes(write.kdump(memory))
    with open_dump(tmp_path / "d") as dump:
        assert contents(dump) == memory
        assert len(dump.regions) == 1
        assert dump.absent == 99


ranges = st.lists(st.integers(0, 50_000), max_size=12, unique=True).map(sorted)


@given(edges=ranges, start=st.integers(0, 3))
def test_data_of_blocks_smaller_than_pages(edges: list[int], start: int) -> None:
    """Holes are whole pages without any data."""
    data = [(low, high) for low, high in zip(edges[::2], edges[1::2], strict=False)]
    extents = list(split_holes(Extent(0, 100, 8, start * 4096), iter(data)))
    kinds = [extent.offset == HOLE for extent in extents for _ in range(extent.pages)]
    firsts = [extent.first + number for extent in extents for number in range(extent.pages)]
    assert firsts == list(range(100, 108))
    for page, is_hole in enumerate(kinds):
        low = (start + page) * 4096
        assert is_hole == (not any(first < low + 4096 and after > low for first, after in data))
    for extent in extents:
        assert extent.offset in (HOLE, (start + extent.first - 100) * 4096)


@pytest.mark.parametrize("length", [0, 1, 4096])
def test_a_codec_gives_exactly_what_was_asked_for(length: int) -> None:
    page = PAGES[2][:length]
    for name, unpack in (("zlib", codecs.unzlib), ("snappy", codecs.unsnappy), ("zstd", codecs.unzstd)):
        packed = write.KDUMP_CODECS[name][1](page)
        assert unpack(packed, length) == page
        for wrong in (length + 1, length - 1):
            with pytest.raises(DumpError, match=name):
                unpack(packed, max(wrong, 0) if length else 1)
        for cut in range(len(packed) if length else 0):
            with pytest.raises(DumpError, match=name):
                unpack(packed[:cut], length)


def test_what_lzo_says_is_short() -> None:
    """Of bytes after the end, the library's error has the whole page in its text; the fuzzer found that."""
    packed = write.KDUMP_CODECS["lzo"][1](PAGES[3])
    assert codecs.unlzo(packed, 4096) == PAGES[3]
    for damaged in (packed + b"x", packed[:-1], b"", b"\xff" * 50):
        with pytest.raises(DumpError, match="LZO") as caught:
            codecs.unlzo(damaged, 4096)
        assert len(str(caught.value)) < 100


def test_fields_of_a_message() -> None:
    assert fields(b"\x08\x96\x01\x10\x05") == {1: 150, 2: 5}
    assert fields(b"\x0d1234\x11" + bytes(8) + b"\x1a\x02xx\x20\x01") == {1: None, 2: None, 3: None, 4: 1}
    for damaged in (b"\x08", b"\x08" + b"\xff" * 10, b"\x1a\x05x", b"\x0b", b"\x0d12"):
        with pytest.raises(DumpError):
            fields(damaged)
