"""Recordings: what is written is read again, whatever happened to memory; what is cut off or damaged is said so."""

from __future__ import annotations

import os
import resource
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.memory_dumps import MemoryDump, Pages, digest, page, write_recording
from kit.recorded import state_of
from vmdedup.dump.base import Region
from vmdedup.errors import DumpError, UsageError, VmdedupError
from vmdedup.recording.contents import Contents
from vmdedup.recording.digest import page_digests
from vmdedup.recording.reader import Recording
from vmdedup.recording.writer import Writer

# A step of a guest: regions as (first, pages), and which of their pages hold what.
Moment = tuple[list[Region], Pages]


@st.composite
def moments(draw: st.DrawFn) -> Moment:
    """Regions that do not overlap, each step with others, and some of their pages with few different contents."""
    edges = sorted(draw(st.sets(st.integers(0, 60), min_size=2, max_size=8)))
    regions = [Region("r", lo, hi - lo) for lo, hi in zip(edges[::2], edges[1::2], strict=False)]
    numbers = [n for region in regions for n in range(region.first, region.first + region.pages)]
    contents = draw(st.lists(st.integers(-1, 12), min_size=len(numbers), max_size=len(numbers)))
    return regions, {n: page(content) for n, content in zip(numbers, contents, strict=True) if content >= 0}


@settings(max_examples=60)
@given(lives=st.lists(st.lists(moments(), min_size=1, max_size=5), min_size=1, max_size=3))
def test_what_was_recorded_is_read_again(lives: list[list[Moment]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "life.rec"
        steps = max(map(len, lives))
        with Writer(path, created=7.0) as writer:
            numbers = [writer.add_guest(f"g{k}", "test") for k in range(len(lives))]
            for step in range(steps):
                for number, life in zip(numbers, lives, strict=True):
                    if step < len(life):
                        writer.snapshot(number, MemoryDump(*life[step]))
                writer.end_step(step * 10)
        with Recording(path) as recording:
            check(recording, lives, steps)


def check(recording: Recording, lives: Sequence[Sequence[Moment]], steps: int) -> None:
    assert [step.time_ns for step in recording.steps] == [10 * step for step in range(steps)]
    assert recording.note is None
    assert recording.created == 7.0
    different = {content for life in lives for _, pages in life for content in pages.values()}
    assert recording.distinct == len(different)
    for guest, life in enumerate(lives):
        before: Pages = {}
        for step in range(steps):
            expected = life[min(step, len(life) - 1)][1]
            assert state_of(recording, guest, step) == expected
            taken = recording.snapshot(guest, step)
            assert (taken.digest, taken.present) == (digest(expected), len(expected))
            if step < len(life):
                differing = {n for n in before.keys() | expected.keys() if before.get(n) != expected.get(n)}
                assert taken.changed == len(differing)
            before = expected


LIFE: list[Pages] = [
    {n: page(n) for n in range(40)},
    {n: page(n + (n % 3 == 0)) for n in range(30)},
    {n: page(100 + n) for n in range(50)},
]


def test_a_file_cut_off_anywhere_gives_its_whole_steps(tmp_path: Path) -> None:
    path, part = tmp_path / "life.rec", tmp_path / "part.rec"
    sizes = write_recording(path, {"a": LIFE}, 64)
    data = path.read_bytes()
    assert sizes[-1] == len(data)
    for length in range(len(data) + 1):
        part.write_bytes(data[:length])
        whole = sum(size <= length for size in sizes)
        if not whole:
            with pytest.raises(DumpError, match=r"no whole|no recording"):
                Recording(part)
            continue
        with Recording(part) as recording:
            assert len(recording.steps) == whole
            left = length - sizes[whole - 1]
            assert (recording.note is None) == (left == 0)
            assert not left or f"last {left} bytes" in str(recording.note)
            if length in sizes or length == len(data) - 1:
                assert state_of(recording, 0, whole - 1) == LIFE[whole - 1]


def test_a_changed_byte_is_never_taken_for_content(tmp_path: Path) -> None:
    """Each byte flipped: the steps that can be read are as they were, or it is said that the file is damaged."""
    path, bad = tmp_path / "life.rec", tmp_path / "bad.rec"
    write_recording(path, {"a": LIFE}, 64)
    data = path.read_bytes()
    for place in range(0, len(data), 3):
        bad.write_bytes(data[:place] + bytes([data[place] ^ 0x40]) + data[place + 1 :])
        try:
            with Recording(bad) as recording:
                for step in range(len(recording.steps)):
                    assert state_of(recording, 0, step) == LIFE[step]
                assert len(recording.steps) < len(LIFE)
        except DumpError:
            continue  # that it is one line is what other tests see to


@pytest.mark.parametrize("content", [b"", b"VMDDREC", b"\x7fELF" + bytes(100)])
def test_what_is_no_recording(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(DumpError, match="is no recording; make one with `vmdedup record`"):
        Recording(path)


def test_files_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(DumpError, match=r"no-file: cannot be opened: No such file"):
        Recording(tmp_path / "no-file")
    with pytest.raises(DumpError, match="is a folder; name a file in it"):
        Recording(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DumpError, match="is a pipe and no file"):
        Recording(tmp_path / "pipe")
    with pytest.raises(UsageError, match="is a folder; choose another file"):
        Writer(tmp_path, 0.0)
    with pytest.raises(UsageError, match="no folder that can be written to; choose another file"):
        Writer(tmp_path / "no" / "folder", 0.0)


def test_a_full_disk_leaves_whole_steps(tmp_path: Path) -> None:
    path = tmp_path / "life.rec"
    rng = np.random.default_rng(3)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Writer(path, 0.0) as writer:
        guest = writer.add_guest("a", "test")
        writer.snapshot(guest, MemoryDump([Region("ram", 0, 64)], LIFE[0]))
        writer.end_step(0)
        noise = {n: rng.bytes(4096) for n in range(64)}
        resource.setrlimit(resource.RLIMIT_FSIZE, (writer.size + 100_000, hard))
        try:
            writer.snapshot(guest, MemoryDump([Region("ram", 0, 64)], noise))
            with pytest.raises(VmdedupError, match=r"File too large\); whole steps kept in it: 1; make room"):
                writer.end_step(1)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with Recording(path) as recording:
        assert recording.note is None
        assert state_of(recording, 0, len(recording.steps) - 1) == LIFE[0]


def test_no_file_is_left_without_a_step(tmp_path: Path) -> None:
    path = tmp_path / "life.rec"
    with Writer(path, 0.0) as writer:
        writer.snapshot(writer.add_guest("a", "test"), MemoryDump([Region("ram", 0, 64)], LIFE[0]))
    assert not path.exists()


def test_contents_are_told_apart_by_the_whole_digest() -> None:
    """Also when first halves are made equal."""
    contents = Contents()
    rows = np.array([[5, 1], [5, 2], [5, 1], [6, 1], [5, 2], [5, 3]], np.uint64)
    numbers, new = contents.resolve(rows)
    by_number: dict[int, tuple[int, ...]] = {}
    for row, number in zip(rows.tolist(), numbers.tolist(), strict=True):
        assert by_number.setdefault(number, tuple(row)) == tuple(row)
    assert (contents.digests(numbers) == rows).all()
    assert sorted(contents.digests(np.arange(1, contents.count + 1)).tolist()) == sorted(rows[new].tolist())


def test_contents_are_found_again_among_many() -> None:
    rng, contents = np.random.default_rng(5), Contents()
    pool = rng.integers(0, 2**63, (5000, 2)).astype(np.uint64)
    known: dict[bytes, int] = {}
    for _ in range(200):
        rows = pool[rng.integers(0, len(pool), rng.integers(1, 300))]
        numbers, new = contents.resolve(rows)
        assert sorted(numbers[new].tolist()) == numbers[new].tolist()
        for row, number in zip(rows, numbers.tolist(), strict=True):
            assert known.setdefault(row.tobytes(), number) == number
    assert contents.count == len(known) == len(set(known.values()))


def test_a_row_seen_many_times_is_digested_once() -> None:
    row = np.frombuffer(page(9), np.uint8)
    many = np.broadcast_to(row, (1000, 4096))
    assert (page_digests(many) == page_digests(row.reshape(1, -1))).all()
