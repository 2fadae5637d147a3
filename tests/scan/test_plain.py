"""Raw files as `scan` reads them itself, and that it leaves everything else to the readers of dumps."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.scan_oracle import PAGE, check, page, write_raw
from vmdedup.dump.formats import kinds
from vmdedup.dump.open import open_dump
from vmdedup.errors import DumpError
from vmdedup.inputs import open_input
from vmdedup.recording.layout import MAGIC
from vmdedup.scan import scan_dumps
from vmdedup.scan.fingerprint import Hasher
from vmdedup.scan.plain import PlainFile, open_plain


def opened(path: Path) -> PlainFile | None:
    """A file as scan opens it itself, or None."""
    descriptor = open_input(path)
    found = open_plain(str(path), descriptor)
    if found is None:
        os.close(descriptor)
    return found


def plain(path: Path) -> PlainFile:
    """A file that must be taken for a raw dump."""
    found = opened(path)
    assert found is not None
    return found


def test_other_formats_are_left_to_their_readers(tmp_path: Path) -> None:
    """Whatever the one table names: no format can be forgotten here."""
    path = tmp_path / "a"
    for magic in (*(kind.magic for kind in kinds() if kind.reader), MAGIC):
        write_raw(path, [magic.ljust(PAGE, b"\1"), page(2)])
        assert opened(path) is None, magic


def test_what_is_no_raw_dump_is_left_to_the_readers(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "odd").write_bytes(b"x" * 5000)
    for name in ("empty", "odd"):
        assert opened(tmp_path / name) is None


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 300)), min_size=1, max_size=8), st.data())
def test_ranges_of_sparse_files(
    tmp_path_factory: pytest.TempPathFactory, runs: list[tuple[bool, int]], data: st.DataObject
) -> None:
    """Any range of pages, holes and data, is what the file has there, each page once."""
    path = tmp_path_factory.mktemp("sparse") / "a.raw"
    pages: list[bytes] = []
    with path.open("wb") as file:
        for is_data, count in runs:
            contents = [page(len(pages) + n if is_data else 0) for n in range(count)]
            if is_data:
                file.write(b"".join(contents))
            else:
                file.seek(count * PAGE, os.SEEK_CUR)
            pages += contents
        file.truncate(len(pages) * PAGE)
    first = data.draw(st.integers(0, len(pages) - 1))
    after = data.draw(st.integers(first + 1, len(pages)))
    source, hasher = plain(path), Hasher()
    found: dict[int, bytes] = {}
    for piece in source.range(first, after):
        prints = piece.fingerprints(hasher)
        assert not set(piece.numbers) & set(found)
        found.update(zip(piece.numbers, prints, strict=True))
    assert found == {number: hasher.digest(pages[number]) for number in range(first, after)}
    source.close()


def test_the_same_as_by_the_reader(tmp_path: Path) -> None:
    pages = [page(n % 9) for n in range(200)]
    path = write_raw(tmp_path / "a.raw", pages)
    own, by_reader = scan_dumps([path]).document, scan_dumps([open_dump(path)]).document
    assert own == by_reader
    check(own, [pages])


def test_a_file_that_becomes_shorter(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "a.raw", [page(n) for n in range(100)])
    with pytest.raises(DumpError, match=r"a\.raw: became shorter while it was read"):
        scan_dumps([path], watch=lambda done, total: os.truncate(path, PAGE))


def test_unknown_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "odd").write_bytes(b"x" * 5000)
    with pytest.raises(DumpError, match="odd: is of no known format"):
        scan_dumps([tmp_path / "odd"])
    with pytest.raises(DumpError, match="missing: cannot be opened: No such file"):
        scan_dumps([tmp_path / "missing"])
