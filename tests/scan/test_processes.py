"""Live processes: reserved addresses are no memory; what fork and files share is there once, and said to be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from struct import unpack
from typing import Any

import pytest

from vmdedup.cli import run_command
from vmdedup.dump.open import open_dump
from vmdedup.dump.pagemap import PageMap, widened
from vmdedup.dump.processes import descendants
from vmdedup.errors import DumpError
from vmdedup.scan import scan_dumps

RESERVED = 1 << 28  # pages: a TiB
# A zygote: reserved addresses, one page of which is used; 40 pages that its two children inherit, 10 of which each of
# them stores the same into; 16 pages of a file.
ZYGOTE = f"""
import ctypes, mmap, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
reserved = libc.mmap(None, {RESERVED} * 4096, mmap.PROT_READ | mmap.PROT_WRITE, PRIVATE | 0x4000, -1, 0)
libc.mmap(None, {RESERVED} * 4096, 0, PRIVATE | 0x4000, -1, 0)
ctypes.memset(reserved + 1000 * 4096, 7, 1)
heap = mmap.mmap(-1, 40 * 4096, flags=PRIVATE)
heap.madvise(mmap.MADV_NOHUGEPAGE)
for page in range(40):
    heap[page * 4096 : page * 4096 + 8] = bytes([page + 1]) * 8
with open(sys.argv[1], "rb") as file:
    text = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
sum(text[::4096])
for child in range(2):
    ready, done = os.pipe()
    if os.fork() == 0:
        sum(text[::4096])
        for page in range(10):
            heap[page * 4096 + 8] = 99
        os.write(done, b"x")
        sys.stdin.read()
        os._exit(0)
    os.read(ready, 1)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[int]]:
    """A process and its two children, which stand still."""
    text = tmp_path_factory.mktemp("zygote") / "text"
    text.write_bytes(b"".join(bytes([page]) * 4096 for page in range(200, 216)))
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", ZYGOTE, text], text=True, stdin=pipe, stdout=pipe) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield descendants(process.pid)
        finally:
            assert process.stdin is not None
            process.stdin.close()  # all three read to the end of it


def pages_of(pid: int) -> list[tuple[int, str, bytes]]:
    """Frame, kind and content of each page, read one by one; the zero page left out."""
    found = []
    proc = Path("/proc", str(pid))
    with (
        open(proc / "pagemap", "rb", buffering=0) as entries,
        open(proc / "mem", "rb", buffering=0) as memory,
        open("/proc/kpageflags", "rb", buffering=0) as flags,
    ):
        for line in (proc / "maps").read_text().splitlines():
            low, high = (int(end, 16) // 4096 for end in line.split()[0].split("-"))
            if "[vvar" in line or "[vsyscall" in line:
                continue
            used = [(low, high)] if high - low < 1 << 16 else [(low, low + 1024)]
            for page in [page for first, after in used for page in range(first, after)]:
                entry = unpack("Q", os.pread(entries.fileno(), 8, 8 * page))[0]
                frame = entry & ((1 << 55) - 1)
                if entry >> 63 and not unpack("Q", os.pread(flags.fileno(), 8, 8 * frame))[0] >> 24 & 1:
                    kind = "file" if entry >> 61 & 1 else "fork"
                    found.append((frame, kind, os.pread(memory.fileno(), 4096, 4096 * page)))
    return found


def truth(pids: list[int]) -> dict[str, int]:
    """What a scan must say of the frames of these processes."""
    pages = [page for pid in pids for page in pages_of(pid)]
    frames = {frame: (kind, content) for frame, kind, content in pages}
    shared = {kind: sum(k == kind for _, k, _ in pages) for kind in ("fork", "file")}
    for kind, _ in frames.values():
        shared[kind] -= 1
    anonymous = [content for kind, content in frames.values() if kind == "fork"]
    return {
        "frames": len(frames),
        "sharing_fork": shared["fork"],
        "sharing_file": shared["file"],
        "sharing_ksm": 0,
        "sharing_already": len(pages) - len(frames),
        "left": len(frames) - len({content for _, content in frames.values()}),
        "left_anonymous": len(anonymous) - len(set(anonymous)),
    }


def counts(figures: dict[str, Any]) -> dict[str, int]:
    return {name: value for name, value in figures.items() if not name.endswith("_mib")}


def test_frames_of_a_zygote_and_its_children(zygote: list[int]) -> None:
    document = scan_dumps([f"zygote=pid:{zygote[0]}:tree", f"child=pid:{zygote[1]}:all"]).document
    group, child = document["dumps"]
    assert [group["name"], child["name"]] == ["zygote", "child"]
    assert group["pages"] < 30_000
    assert group["reserved"] > 3 * 2 * RESERVED - 10_000
    assert document["total"]["reserved"] == group["reserved"] + child["reserved"]
    assert any(region["pages"] == 512 for region in group["regions"])
    if os.geteuid():
        assert group["frames"] is document["total"]["frames"] is None
        pytest.skip("only root sees frames")
    assert counts(group["frames"]) == truth(zygote)
    assert counts(child["frames"]) == truth(zygote[1:2])
    assert counts(document["total"]["frames"]) == truth([*zygote, zygote[1]])
    for figures in (group, child, document["total"]):
        frames = figures["frames"]
        assert frames["sharing_already"] + frames["left"] == figures["sharing"]
        assert frames["left_mib"] == frames["left"] / 256
    # 30 pages three times, 10 in the zygote; and 16 of a file; the children's ten are equal, and two frames each.
    assert group["frames"]["sharing_fork"] >= 2 * 30
    assert group["frames"]["sharing_file"] >= 2 * 16
    assert group["frames"]["left_anonymous"] >= 10


def test_the_text_of_it(zygote: list[int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"both=pid:{zygote[1]}:all,pid:{zygote[2]}:all"
    assert run_command(["scan", "--no-color", "-q", name]) == 0
    text = capsys.readouterr().out
    assert "pages of addresses hold nothing" in text
    assert ("is one frame now" in text) == (os.geteuid() == 0)
    monkeypatch.setattr("vmdedup.dump.process.ProcessDump.frames", lambda dump: None)
    assert run_command(["scan", "--no-color", "-q", name]) == 0
    assert "run as root" in capsys.readouterr().out
    assert run_command(["scan", "--json", "-q", name]) == 0
    assert json.loads(capsys.readouterr().out)["total"]["frames"] is None


def test_dumps_beside_processes(zygote: list[int], tmp_path: Path) -> None:
    """Of a dump, every page is a frame of its own."""
    if os.geteuid():
        pytest.skip("only root sees frames")
    dump = tmp_path / "dump.raw"
    dump.write_bytes(bytes([200]) * 4096 + bytes([0xAB]) * 8192)
    document = scan_dumps([dump, f"pid:{zygote[1]}:all"]).document
    one, both = truth(zygote[1:2]), document["total"]["frames"]
    assert document["dumps"][0]["frames"] is None
    assert both["frames"] == one["frames"] + 3
    assert both["sharing_already"] == one["sharing_already"]
    assert (both["left"], both["left_anonymous"]) == (one["left"] + 2, one["left_anonymous"] + 1)


def test_groups_as_dumps(zygote: list[int]) -> None:
    with open_dump(f"pid:{zygote[0]}:tree") as dump:
        numbers = [number for block in dump.blocks() for number in block.numbers.tolist()]
        assert len(numbers) == dump.present == len(set(numbers))
        assert {number >> 40 for number in numbers} == set(zygote)
        by_region = {(block.region, number) for block in dump.blocks() for number in block.numbers.tolist()}
        for region, number in by_region:
            assert 0 <= number - dump.regions[region].first < dump.regions[region].pages
    with pytest.raises(DumpError, match="name a process by its number"):
        open_dump(f"web=pid:{zygote[0]}:all,raw")
    with pytest.raises(DumpError, match="no such process"):
        open_dump(f"pid:{zygote[0]}:all,pid:{2**22 + 1}:tree")


def test_kernels_that_do_not_tell_where_pages_are(zygote: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(25, "Inappropriate ioctl for device")

    with open_dump(f"pid:{zygote[1]}:largest") as dump:
        first, pages = dump.regions[0].first, dump.regions[0].pages
    with PageMap(zygote[1]) as page_map:
        told = page_map.occupied(first, pages)
        monkeypatch.setattr("fcntl.ioctl", refuse)
        assert page_map.occupied(first, pages) == told != []


def test_runs_are_widened_to_page_tables() -> None:
    assert widened([(600, 1), (1000, 30), (3000, 1)], 520, 3001) == [(520, 1016), (2560, 441)]
