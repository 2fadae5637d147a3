"""A zygote: a real process with reserved addresses, a heap that two children have by fork, and a file they all map."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import unpack

from vmdedup.dump.processes import descendants

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


@contextmanager
def zygote_at(folder: Path) -> Iterator[list[int]]:
    """A process and its two children, which stand still. folder: for the file."""
    text = folder / "text"
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
