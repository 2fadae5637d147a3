"""Which page is handed out next, what a freed page holds, where things lie with and without randomisation."""

from __future__ import annotations

import numpy as np
import pytest

from kit.guest_ram import Ram
from vmdedup.guest.physical import PhysicalMemory
from vmdedup.guest.placement import Placement, place
from vmdedup.guest.spec import Aslr, FreePages

ORDER = np.array([5, 3, 8, 1, 9, 2], dtype=np.int64)
ONES = np.ones((3, 4096), dtype=np.uint8)


def physical(policy: FreePages = "left") -> tuple[PhysicalMemory, Ram]:
    ram = Ram(10)
    return PhysicalMemory(ram, ORDER, policy), ram  # type: ignore[arg-type]


def test_pages_are_handed_out_in_order_and_the_last_freed_first() -> None:
    memory, _ = physical()
    assert memory.allocate(3, overwritten=True).tolist() == [5, 3, 8]
    memory.release(np.array([3, 5]))
    assert memory.free == 5
    assert memory.allocate(4, overwritten=True).tolist() == [5, 3, 1, 9]
    assert memory.free_pages().tolist() == [2]


@pytest.mark.parametrize(
    ("policy", "when_free", "when_handed_out"),
    [("left", 1, 1), ("zero_on_free", 0, 0), ("zero_on_alloc", 1, 0)],
)
def test_what_a_free_page_holds(policy: FreePages, when_free: int, when_handed_out: int) -> None:
    memory, ram = physical(policy)
    pages = memory.allocate(3, overwritten=True)
    ram.write_pages(pages, ONES)
    memory.release(pages)
    assert (ram.bytes[pages] == when_free).all()
    assert sorted(memory.allocate(3, overwritten=False).tolist()) == sorted(pages.tolist())
    assert (ram.bytes[pages] == when_handed_out).all()


def test_a_page_that_is_overwritten_at_once_is_not_cleared_first() -> None:
    memory, ram = physical("zero_on_alloc")
    memory.allocate(3, overwritten=True)
    assert not ram.written.any()


def placed(aslr: Aslr, seed: int, jitter: float = 0.0) -> Placement:
    return place(32768, 4096, aslr, jitter, seed)


@pytest.mark.parametrize("aslr", ["off", "pages", "bytes"])
@pytest.mark.parametrize("pages", [1024, 5000, 32768])
def test_every_page_has_one_place(aslr: Aslr, pages: int) -> None:
    made = place(pages, pages // 8, aslr, 0.1, seed=3)
    low = min(256, pages // 8)
    everything = np.concatenate((made.image, made.order))
    assert sorted(everything.tolist()) == list(range(low, pages))
    assert made.firmware.max() < low


def test_without_randomisation_only_jitter_tells_guests_apart() -> None:
    first, second = placed("off", 1), placed("off", 2)
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.order, second.order)


@pytest.mark.parametrize("jitter", [0.02, 0.1])
def test_jitter_is_the_share_of_chunks_that_come_out_of_turn(jitter: float) -> None:
    """How many chunks of 16 pages come later than they should, and by how many places.

    One that is astray falls back by s places, s uniform below 32, so it is passed by floor(s) others, 15.5 on average,
    but for those of them that are astray themselves; and it wins as many as fall back from before it to behind it, 15.5
    times the share of astray ones. So 15.5 * (1 - jitter) places on average. One that is not astray is never later.
    Standard deviations: 0.014 of the share where that is 0.02, 0.13 places of the mean; bounds are four of them.
    """
    chunks = 1 << 18
    made, plain = (place(16 * chunks, 4096, "off", share, seed=1).order.reshape(-1, 16) for share in (jitter, 0.0))
    assert (np.diff(made, axis=1) == 1).all(), "inside a chunk pages ascend"
    turn = np.empty(chunks, np.int64)
    turn[plain[:, 0] // 16] = np.arange(len(plain))
    later = np.arange(len(made)) - turn[made[:, 0] // 16]
    late = later[later > 0]
    assert len(late) / len(made) == pytest.approx(jitter * 15.5 * (2 - jitter) / 32, rel=0.056)
    assert late.sum() / (jitter * len(made)) == pytest.approx(15.5 * (1 - jitter), rel=0.056)
    assert late.max() == 31


@pytest.mark.parametrize("jitter", [0.02, 0.1])
def test_each_guest_has_other_chunks_astray(jitter: float) -> None:
    """Which chunks are late in one guest says nothing of another: both late, for the product of the shares.

    Four standard deviations of that share; the same chunks for all would be 1 / share times as many.
    """
    chunks = 1 << 18
    plain = place(16 * chunks, 4096, "off", 0.0, seed=1).order.reshape(-1, 16)[:, 0] // 16
    turn = np.empty(chunks, np.int64)
    turn[plain] = np.arange(len(plain))
    late = []
    for seed in (1, 2):
        first = place(16 * chunks, 4096, "off", jitter, seed=seed).order.reshape(-1, 16)[:, 0] // 16
        is_late = np.zeros(chunks, np.bool_)
        is_late[first[np.arange(len(first)) > turn[first]]] = True
        late.append(is_late)
    shares = [is_late.mean() for is_late in late]
    both = shares[0] * shares[1]
    assert (late[0] & late[1]).mean() == pytest.approx(both, abs=4 * (both / chunks) ** 0.5)


def test_with_randomisation_guests_and_boots_differ_in_where_things_lie() -> None:
    bases = {int(placed("pages", seed).image[0]) for seed in range(12)}
    assert len(bases) > 6
    assert all(base % 512 == 256 for base in bases)
    assert (placed("pages", 1).order != placed("pages", 2).order).mean() > 0.5


def test_only_bytes_shifts_inside_pages() -> None:
    assert placed("off", 1).shift == placed("pages", 1).shift == 0
    shifts = {placed("bytes", seed).shift for seed in range(12)}
    assert len(shifts) > 6
    assert all(0 < shift < 4096 and shift % 16 == 0 for shift in shifts)
