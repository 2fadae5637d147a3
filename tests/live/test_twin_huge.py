"""Kernel and emulator on processes with huge pages as they are: whole ones, what is left of one, small pages beside."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from vmdedup.live.guardian.guardian import Guardian
from vmdedup.live.ksm.session import KsmSession
from vmdedup.live.memory.huge import HUGE_PAGES, without_huge_pages
from vmdedup.live.scripts import comparison
from vmdedup.live.scripts.verify import verify

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.compiled,
    pytest.mark.skipif(
        not HUGE_PAGES.exists() or "[never]" in HUGE_PAGES.read_text(), reason="this kernel makes no huge pages"
    ),
]
# 2 MiB each: pages that all have; pages of its own with as many zeros; of both kinds, and a run of one page; zeros that
# hide in a huge page of which only the first page was stored; one that is discarded in part, and stored to in part;
# pages equal inside; small pages only; and a huge page like nothing else.
PROGRAM = """
import ctypes, mmap, random, sys
PAGE, HUGE = 4096, 2 << 20
seed = int(sys.argv[1])
memory = mmap.mmap(-1, 9 * HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
base = -ctypes.addressof(ctypes.c_char.from_buffer(memory)) % HUGE
memory.madvise(mmap.MADV_MERGEABLE)
memory.madvise(mmap.MADV_HUGEPAGE, base, 8 * HUGE)
memory.madvise(mmap.MADV_NOHUGEPAGE, base + 6 * HUGE, HUGE)
def fill(block, first, pages, kind, step=1):
    for k in range(pages):
        at = base + block * HUGE + (first + k) * PAGE
        memory[at : at + PAGE] = random.Random(kind + k * step).randbytes(PAGE) if kind else bytes(PAGE)
own = 10_000_000 * seed
fill(0, 0, 512, 1_000)
fill(1, 0, 256, own + 1_000)
fill(1, 256, 256, 0)
fill(2, 0, 200, 1_100)
fill(2, 200, 200, own + 9_000)
fill(2, 400, 112, 77, 0)
fill(3, 0, 1, own + 20_000)
fill(4, 0, 512, 30_000)
memory.madvise(mmap.MADV_DONTNEED, base + 4 * HUGE + 100 * PAGE, 300 * PAGE)
fill(4, 150, 20, 1_000)
fill(5, 0, 256, own + 40_000)
fill(5, 256, 256, own + 40_000)
fill(6, 0, 64, 1_050)
fill(7, 0, 512, own + 90_000 + 1_000_000 * int(sys.argv[2]))
print(flush=True)
sys.stdin.read()
"""
IN_HUGE_PAGES = 6 * 512 + 212  # the fifth lost 300 of its pages; 20 small ones are in their place, and 64 elsewhere


@pytest.fixture
def pids(require_kernel_ksm: KsmSession) -> Iterator[dict[str, int]]:
    """Three processes, two of which have the same; nobody makes huge pages of what is there."""
    with ExitStack() as stack:
        guardian = stack.enter_context(Guardian())
        found = {}
        for number, (name, seed) in enumerate((("a", 1), ("b", 1), ("c", 2)), start=1):
            started = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(seed), str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            stack.enter_context(started)
            stack.callback(started.kill)
            assert started.stdout is not None
            assert started.stdout.readline()
            found[name] = started.pid
        without_huge_pages(guardian)
        yield found


@pytest.mark.parametrize("knobs", [{}, {"use_zero_pages": "1"}, {"max_page_sharing": "16", "smart_scan": "1"}])
def test_kernel_and_emulator_agree(require_kernel_ksm: KsmSession, pids: dict[str, int], knobs: dict[str, str]) -> None:
    found = verify(require_kernel_ksm, pids, 5, knobs)
    assert found.is_equal, comparison.render(found)
    assert found.pages == dict.fromkeys("abc", IN_HUGE_PAGES + 20 + 64)
    assert found.huge == dict.fromkeys("abc", IN_HUGE_PAGES)
    last = found.scans[-1].kernel
    # The page of which nothing is shared stays; zeros went with the splits, whatever use_zero_pages says.
    assert last["a.in_huge_pages"] == last["c.in_huge_pages"] == 512
    assert last["c.visible_pages"] == found.pages["c"] - 256 - 511
    assert last["ksm_zero_pages"] == 0
