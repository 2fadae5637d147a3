"""Looking ahead decides nothing: with it, and without, the engine does what the oracle does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kit.ksm_host import KsmHost
from kit.ksm_pair import Pair
from vmdedup.conform.generator import generate
from vmdedup.host.layout import FRAME_SHIFT
from vmdedup.ksm import ahead
from vmdedup.replay.script import parse_text


@pytest.mark.interpreted
@pytest.mark.parametrize("seed", range(12))
def test_small_trees_are_looked_up_ahead_too(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """With chains and stale nodes, and no tree too small; every index that it uses is checked by Python."""
    monkeypatch.setattr(ahead, "WORTH_WHILE", 0)
    script = parse_text(generate(seed, "small"), Path())
    pair = Pair(script)
    pair.play(script)
    pair.close()


@pytest.mark.interpreted
def test_what_is_looked_up_ahead_is_found_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the unstable tree each page itself; in the stable one the frame of those that hold what a page holds now."""
    monkeypatch.setattr(ahead, "WORTH_WHILE", 0)
    with KsmHost() as k:
        one, two = k.guest(*range(1, 12)), k.guest(*range(1, 12), *range(20, 40))
        k.scans(2)
        assert k.get("pages_shared") == 11
        k.fill(two, range(25, 28), (3, 7, 11))
        k.ksmd.scan(one.pages + two.pages - 1)  # to the last page but one: the unstable tree is there still
        first = int(k.host.arrays.mms[two.mm]["first"])
        for pages in (range(11, 19), range(17, 25), (25, 12, 26, 13, 27, 14, 15, 16)):
            ahead.look_ahead_at(k.host.arrays, k.ksmd.arrays, np.array([first + page for page in pages]), 0)
            frames = [int(two.entries[page]) >> FRAME_SHIFT for page in pages]
            for place, content in ((0, 3), (2, 7), (4, 11)):
                if pages[0] == 25:
                    frames[place] = int(one.entries[content - 1]) >> FRAME_SHIFT
            assert k.ksmd.arrays.ahead[:, 3].tolist() == frames
        ahead.look_ahead(k.host.arrays, k.ksmd.arrays, first + 12)
        assert k.ksmd.arrays.ahead[:, 3].tolist() == [int(entry) >> FRAME_SHIFT for entry in two.entries[12:20]]


@pytest.mark.compiled
@pytest.mark.parametrize("most", [2, 256])
def test_trees_large_enough_to_be_looked_up_ahead(most: int) -> None:
    """Thousands of nodes in both trees, plain ones and chains, while pages change."""
    pages = 6 * ahead.WORTH_WHILE
    with KsmHost(pages=pages, max_page_sharing=most) as k:
        random = np.random.default_rng(9)
        guest = k.host.add(pages, "guest")
        k.ksmd.enter(guest.mm)
        contents = random.integers(0, pages, pages)  # about a third of them once, the others more often
        data = np.zeros((pages, 4096), np.uint8)
        data.view(np.int64)[:, 5] = contents
        guest.write_pages(np.arange(pages), data)
        times = np.bincount(contents, minlength=pages)
        k.scans(2)
        assert k.four()[:3] == expected(times, most)
        changed = random.choice(pages, pages // 8, replace=False)
        data.view(np.int64)[changed, 5] = contents[changed] = random.integers(0, pages, len(changed))
        guest.write_pages(changed, data[changed])
        k.scans(3)
        assert k.get("pages_unshared") > ahead.WORTH_WHILE
        assert k.get("pages_shared") > ahead.WORTH_WHILE
        assert int(k.ksmd.arrays.st[0]["looked_ahead"]) != 0
        assert (guest.read_pages(np.arange(pages)) == data).all()


def expected(times: np.ndarray, most: int) -> tuple[int, int, int]:
    """shared, sharing, unshared when each content is there so many times (as in the kernel's ksm_tests -M)."""
    full, left = times // most, times % most
    shared = full + (left > 1)
    merged = full * most + np.where(left > 1, left, 0)
    return int(shared.sum()), int((merged - shared).sum()), int((left == 1).sum())
