"""Counts of a scan against an oracle that compares pages themselves."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.scan_oracle import ListDump, Pages, check, check_places, page, write_raw
from vmdedup.errors import DumpError, UsageError
from vmdedup.scan import scan_dumps
from vmdedup.scan.partitions import Partitions
from vmdedup.scan.run import MEMORY_LIMIT
from vmdedup.scan.spool import Spool

NUMBERS = st.lists(st.integers(0, 9), min_size=1, max_size=40)
DUMPS = st.lists(NUMBERS, min_size=1, max_size=5)


@given(DUMPS, st.integers(0, 12), st.sampled_from([0, 64, MEMORY_LIMIT]), st.integers(1, 3))
def test_raw_files(numbers: list[list[int]], top: int, memory: int, threads: int) -> None:
    dumps = [[page(n) for n in dump] for dump in numbers]
    with tempfile.TemporaryDirectory() as folder:
        paths = [write_raw(Path(folder, f"{at}.raw"), pages) for at, pages in enumerate(dumps)]
        result = scan_dumps(paths, top=top, memory_limit=memory, threads=threads)
    check(result.document, dumps, top)
    check_places(result.document, dumps)
    assert not result.partial


@given(
    st.lists(st.lists(st.none() | st.integers(0, 6), min_size=1, max_size=30), min_size=1, max_size=4), st.booleans()
)
def test_readers(numbers: list[list[int | None]], threaded: bool) -> None:
    pages = [[None if n is None else page(n) for n in dump] for dump in numbers]
    dumps = [ListDump(f"d{at}", dump, first=100) for at, dump in enumerate(pages)]
    result = scan_dumps(dumps, threads=2 if threaded else 1)
    present: list[Pages] = [[one for one in dump if one is not None] for dump in pages]
    check(result.document, present)
    for found, dump in zip(result.dumps, pages, strict=True):
        assert (found["pages"], found["absent"]) == (len(dump), dump.count(None))
    for entry in result.document["top"]:
        for place in entry["dumps"]:
            dump = pages[int(place["name"][1:])]
            content = dump[place["page"] - 100]
            assert content is not None
            assert (dump.index(content) + 100, dump.count(content)) == (place["page"], place["copies"])
    assert all(dump.closed for dump in dumps)


def test_the_same_answer_each_time(tmp_path: Path) -> None:
    """Among equally frequent contents, too, whatever the threads and wherever fingerprints are kept."""
    dumps = [[page(n) for n in range(2, 60)] * 2, [page(n) for n in range(40, 99)]]
    paths = [write_raw(tmp_path / f"{at}.raw", pages) for at, pages in enumerate(dumps)]
    one = scan_dumps(paths).document
    assert (
        one == scan_dumps(paths, threads=3, memory_limit=0).document == scan_dumps(paths, memory_limit=1 << 30).document
    )
    check_places(one, dumps)


def test_as_many_parts_as_there_are_pages() -> None:
    """Fingerprints go to the same part whatever the number of parts, and come back in order."""
    prints = [bytes([first, second]) * 8 for first in range(1, 256, 7) for second in range(40)]
    for pages in (0, 1 << 15, 1 << 30):
        with_parts = Partitions(pages, 2, Spool(1 << 12), bytes(16))
        for at in range(0, len(prints), 10):
            with_parts.add(int(at >= 600), [*prints[at : at + 10], bytes(16)])
        with_parts.put_aside()
        found = [[f for part in range(with_parts.parts) for f in with_parts.each(part, dump)] for dump in (0, 1)]
        assert sorted(found[0]) == sorted(prints[:600])
        assert sorted(found[1]) == sorted(prints[600:])
        assert with_parts.zeros == [60, (len(prints) - 600) // 10]
        for part in range(with_parts.parts):
            kept = list(with_parts.each(part, 1))
            assert kept == [f for f in prints[600:] if f in set(kept)]


def test_stopping_gives_what_was_read() -> None:
    dumps = [[page(n % 5) for n in range(30)], [page(n % 7) for n in range(30)]]
    asked = iter([False] * 14 + [True] * 99)
    result = scan_dumps(
        [ListDump(f"d{at}", pages) for at, pages in enumerate(dumps)], stop=lambda: next(asked), threads=1
    )
    assert result.partial
    check(result.document, [dumps[0], dumps[1][:12]])
    assert [dump["pages"] for dump in result.dumps] == [30, 30]


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    scan_dumps(
        [write_raw(tmp_path / "a", [page(n) for n in range(100)])], watch=lambda *told_now: told.append(told_now)
    )
    assert told[-1] == (100, 100)
    assert told == sorted(told)


def test_nothing_to_scan() -> None:
    with pytest.raises(UsageError, match="nothing to scan"):
        scan_dumps([])


def test_the_same_file_twice(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "a", [page(2)])
    (tmp_path / "b").symlink_to(path)
    with pytest.raises(DumpError, match=r"b is the same file as .*a; name each dump once"):
        scan_dumps([path, tmp_path / "b"])


def test_no_room_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_raw(tmp_path / "a", [page(n) for n in range(3000)])
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    with pytest.raises(Exception, match=r"cannot write a temporary file in .*nowhere: No such.*set TMPDIR"):
        scan_dumps([path], memory_limit=0)
    assert scan_dumps([path], memory_limit=1 << 20).total["distinct"] == 3000
