"""Recordings that were made to do harm: what is in them is never trusted, and every one is refused in a line."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import zstandard

from kit.recorded import state_of
from vmdedup.errors import DumpError
from vmdedup.recording import layout
from vmdedup.recording.reader import Recording
from vmdedup.recording.summary import summarise


def record(kind: int, payload: bytes) -> bytes:
    return layout.pack_head(kind, payload) + payload


def document(kind: int, **content: object) -> bytes:
    return record(kind, json.dumps(content).encode())


TESTS = Path(__file__).parent.parent
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
    done = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, check=True, timeout=120)
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
    done = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, check=True, timeout=120)
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
