"""Recordings: what is written is read again, whatever happened to memory; what is cut off or damaged is said so."""

from __future__ import annotations

import json
import os
import resource
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_dumps import MemoryDump, Pages, digest, page, write_recording

from vmdedup.dump.base import Region
from vmdedup.errors import DumpError, UsageError, VmdedupError
from vmdedup.recording import layout
from vmdedup.recording.contents import Contents
from vmdedup.recording.digest import page_digests
from vmdedup.recording.reader import Recording
from vmdedup.recording.summary import summarise
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


def state_of(recording: Recording, guest: int, step: int) -> Pages:
    """All that a guest held at a step, read through the recording's own interface."""
    state = recording.state(guest, step)
    held = np.flatnonzero(state)
    pages: dict[int, bytes] = {}
    for rows, contents in recording.contents(state[held]):
        pages |= {int(held[row]): content.tobytes() for row, content in zip(rows, contents, strict=True)}
    numbers = {place + k: first + k for first, place, count in runs(recording, guest) for k in range(count)}
    return {numbers[place]: content for place, content in pages.items()}


def runs(recording: Recording, guest: int) -> list[tuple[int, int, int]]:
    return list(recording.guests[guest].places.in_order())


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


def record(kind: int, payload: bytes) -> bytes:
    return layout.pack_head(kind, payload) + payload


def document(kind: int, **content: object) -> bytes:
    return record(kind, json.dumps(content).encode())


HEAD = layout.MAGIC + document(layout.HEAD, version=1, page_size=4096, created=0)
GUEST = document(layout.GUEST, name="a", source="x")
REGIONS = document(layout.REGIONS, guest=0, regions=[["ram", 0, 8]])
STEP = document(layout.STEP, time_ns=0, guests={"0": {"digest": "0", "changed": 0, "present": 0}})
BOMB = zstandard.compress(bytes(256 << 20))


def changes(places: list[int], contents: list[int], guest: int = 0) -> bytes:
    both = struct.pack(f"<{len(places)}I", *places) + struct.pack(f"<{len(contents)}I", *contents)
    return record(layout.CHANGES, layout.GUEST_COUNT.pack(guest, len(places)) + zstandard.compress(both))


HOSTILE = {
    "no head": layout.MAGIC + GUEST + STEP,
    "another version": layout.MAGIC + document(layout.HEAD, version=2, page_size=4096, created=0) + STEP,
    "no step": HEAD + GUEST,
    "no JSON": HEAD + record(layout.GUEST, b"\xff{") + STEP,
    "nested": HEAD + record(layout.GUEST, b"[" * 100_000) + STEP,
    "a list": HEAD + record(layout.GUEST, b"[]") + STEP,
    "no name": HEAD + document(layout.GUEST, source="x") + STEP,
    "2^63 pages": HEAD + GUEST + document(layout.REGIONS, guest=0, regions=[["ram", 0, 1 << 63]]) + STEP,
    "2^40 pages": HEAD + GUEST + document(layout.REGIONS, guest=0, regions=[["ram", 0, 1 << 40]]) + STEP,
    "negative pages": HEAD + GUEST + document(layout.REGIONS, guest=0, regions=[["ram", 9, -3]]) + STEP,
    "regions of no guest": HEAD + GUEST + document(layout.REGIONS, guest=7, regions=[]) + STEP,
    "regions of text": HEAD + GUEST + document(layout.REGIONS, guest=0, regions=["no"]) + STEP,
    "changes of no guest": HEAD + GUEST + REGIONS + changes([0], [0], guest=9) + STEP,
    "short changes": HEAD + GUEST + REGIONS + record(layout.CHANGES, b"1234") + STEP,
    "so many pages": HEAD + GUEST + record(layout.PAGES, b"\xff" * 4 + bytes(100)) + STEP,
    "a step of no guest": HEAD + document(layout.STEP, time_ns=0, guests={"0": {"digest": "", "changed": 0}}),
    "a step of text": HEAD + GUEST + document(layout.STEP, time_ns=0, guests="x"),
    "a long document": HEAD + record(layout.GUEST, b'{"name": "' + b"x" * layout.MOST_DOCUMENT + b'"}') + STEP,
    "created never": layout.MAGIC + document(layout.HEAD, version=1, page_size=4096, created=float("nan")) + STEP,
    "created late": layout.MAGIC + document(layout.HEAD, version=1, page_size=4096, created=10**4000) + STEP,
    "a version of 4,000 digits": layout.MAGIC + document(layout.HEAD, version=10**4000, page_size=1) + STEP,
    "time without end": HEAD + GUEST + document(layout.STEP, time_ns=10**4000, guests={}),
    "pages without end": HEAD
    + GUEST
    + document(layout.STEP, time_ns=0, guests={"0": {"digest": "0", "changed": 10**4000, "present": 0}}),
    "pages of text": HEAD
    + GUEST
    + document(layout.STEP, time_ns=0, guests={"0": {"digest": "0", "changed": "1", "present": 0}}),
    "a long digest": HEAD
    + GUEST
    + document(layout.STEP, time_ns=0, guests={"0": {"digest": "0" * 65, "changed": 1, "present": 0}}),
    "a guest of 4,000 digits": HEAD
    + GUEST
    + document(layout.STEP, time_ns=0, guests={"9" * 4000: {"digest": "0", "changed": 1, "present": 0}}),
    "regions of 4,000 digits": HEAD + GUEST + document(layout.REGIONS, guest=0, regions=[["r", 0, 10**4000]]) + STEP,
    "packed too long": HEAD + GUEST + record(layout.PAGES, b"\x01\0\0\0" + bytes(layout.MOST_PACKED)) + STEP,
    "time": HEAD + GUEST + document(layout.STEP, time_ns=-1, guests={}),
}
# These are found when the contents are wanted.
HOSTILE_WITHIN = {
    "a place": HEAD + GUEST + REGIONS + changes([8], [0]) + STEP,
    "a content": HEAD + GUEST + REGIONS + changes([0], [1]) + STEP,
    "changes that burst": HEAD + GUEST + REGIONS + record(layout.CHANGES, layout.GUEST_COUNT.pack(0, 2) + BOMB) + STEP,
    "pages that burst": HEAD
    + GUEST
    + REGIONS
    + record(layout.PAGES, layout.COUNT.pack(1) + bytes(16) + BOMB)
    + changes([0], [1])
    + STEP,
    "no frame": HEAD
    + GUEST
    + REGIONS
    + record(layout.PAGES, layout.COUNT.pack(1) + bytes(90))
    + changes([0], [1])
    + STEP,
    "too many": HEAD + GUEST + REGIONS + record(layout.CHANGES, layout.GUEST_COUNT.pack(0, 1 << 31)) + STEP,
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_file_is_refused_in_a_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "bad.rec"
    path.write_bytes(data)
    with pytest.raises(DumpError, match=r"bad\.rec|too large|cannot be") as refused:
        Recording(path)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 1000


@pytest.mark.parametrize("data", HOSTILE_WITHIN.values(), ids=HOSTILE_WITHIN.keys())
def test_hostile_contents_are_refused_in_a_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "bad.rec"
    path.write_bytes(data)
    with Recording(path) as recording, pytest.raises(DumpError, match="is damaged at byte"):
        state_of(recording, 0, 0)


def test_hostile_contents_take_no_memory(tmp_path: Path) -> None:
    """Each file in one child, whose most memory is its own: here it would be that of the largest test before."""
    paths = []
    for number, data in enumerate([*HOSTILE.values(), *HOSTILE_WITHIN.values()]):
        paths.append(tmp_path / f"{number}.rec")
        paths[-1].write_bytes(data)
    command = [sys.executable, "-c", READ_ALL, *map(str, paths)]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True, timeout=120)
    assert int(done.stdout) < 64 * 1024, "KiB more than before the first"


# Prints the KiB by which reading recordings has raised the most memory that the program has had. (ru_maxrss would not
# do: a child begins with its parent's.)
READ_ALL = """
import sys
import numpy as np
from contextlib import suppress
from vmdedup.errors import DumpError
from vmdedup.recording.reader import Recording

def most():
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])

def read(path):
    with suppress(DumpError), Recording(path) as recording:
        for guest in range(len(recording.guests)):
            state = recording.state(guest, 0)
            for _ in recording.contents(state[np.flatnonzero(state)]):
                pass

read(sys.argv[1])
before = most()
for path in sys.argv[1:]:
    read(path)
print(most() - before)
"""


def test_a_bomb_would_be_seen(tmp_path: Path) -> None:
    """So that the test above can fail: the same child, with a limit on what is unpacked taken away."""
    (tmp_path / "bad.rec").write_bytes(HOSTILE_WITHIN["pages that burst"])
    careless = (
        "import zstandard\nfrom vmdedup.recording.log import Log\n"
        "Log.unpack = lambda self, record, packed, size: zstandard.ZstdDecompressor().decompress(packed)[:size]\n"
    )
    command = [sys.executable, "-c", careless + READ_ALL.replace("read(sys.argv[1])\n", ""), str(tmp_path / "bad.rec")]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True, timeout=120)
    assert int(done.stdout) > 200 * 1024


def test_regions_are_taken_in_any_number_and_never_twice(tmp_path: Path) -> None:
    """A hundred thousand in descending order: sorted once, not one by one."""
    path = tmp_path / "many.rec"
    many = [["r", 2 * number, 1] for number in reversed(range(100_000))]
    path.write_bytes(HEAD + GUEST + document(layout.REGIONS, guest=0, regions=many) + STEP)
    with Recording(path) as recording:
        assert recording.guests[0].pages == 100_000
        assert recording.guests[0].places.of(np.array([0, 199_998])).tolist() == [99_999, 0]
    path.write_bytes(HEAD + GUEST + document(layout.REGIONS, guest=0, regions=[["a", 0, 8], ["b", 7, 2]]) + STEP)
    with pytest.raises(DumpError, match=r"many\.rec is damaged \(regions of a guest overlap\)"):
        Recording(path)


def test_a_name_of_any_length_is_said_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "long.rec"
    path.write_bytes(
        HEAD + document(layout.GUEST, name="x" * 9999, source="x") + document(layout.STEP, time_ns=0, guests={})
    )
    with Recording(path) as recording:
        for ask in (lambda: summarise(recording), lambda: recording.guest_number("y")):
            with pytest.raises(DumpError, match=r"x{40}…") as refused:
                ask()
            assert len(str(refused.value)) < 1000


def test_a_summary_is_no_longer_than_the_file_allows(tmp_path: Path) -> None:
    path = tmp_path / "wide.rec"
    step = document(layout.STEP, time_ns=0, guests={})
    path.write_bytes(HEAD + GUEST * 2000 + step * 1000)
    with Recording(path) as recording, pytest.raises(DumpError, match=r"has 2000000 steps of guests in \d+ bytes"):
        summarise(recording)


def test_a_head_that_promises_too_much_ends_the_log(tmp_path: Path) -> None:
    path = tmp_path / "bad.rec"
    head = struct.pack("<III", layout.PAGES, layout.MOST_PAYLOAD + 1, 0)
    path.write_bytes(HEAD + GUEST + STEP + head + struct.pack("<I", zlib.crc32(head)) + bytes(100))
    with Recording(path) as recording:
        assert recording.note == "the last 116 bytes are no whole step and are left out"


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
