"""What guests give back to their host unasked: free page reporting, the balloon, and at what pace."""

from __future__ import annotations

import numpy as np
import pytest

from kit.guest_ram import Ram, boot, spec
from vmdedup.errors import GuestError
from vmdedup.guest.balloon import AT_ONCE, Balloon
from vmdedup.guest.diskspec import open_disk
from vmdedup.guest.filesystem import Filesystem
from vmdedup.guest.guestkernel import GuestKernel
from vmdedup.guest.physical import BLOCK_PAGES, PhysicalMemory
from vmdedup.guest.reporting import BATCH, DELAY_MS, FreePageReporting
from vmdedup.guest.spec import BalloonSpec, GuestSpec


class Giving(Ram):
    """Which pages were given back, each time."""

    def __init__(self, pages: int) -> None:
        super().__init__(pages)
        self.given: list[list[int]] = []

    def discard(self, pages: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
        super().discard(pages)
        self.given.append(pages.tolist())


def blocks_of(pages: list[int]) -> list[int]:
    blocks = sorted({page // BLOCK_PAGES for page in pages})
    assert sorted(pages) == [page for block in blocks for page in range(block * BLOCK_PAGES, (block + 1) * BLOCK_PAGES)]
    return blocks


def test_whole_free_blocks_are_reported_after_two_seconds_and_once_until_they_are_used_again() -> None:
    ram = Giving(4 * BLOCK_PAGES + 100)
    physical = PhysicalMemory(ram, np.arange(ram.pages), "left")  # type: ignore[arg-type]
    first = physical.allocate(BLOCK_PAGES + 1, overwritten=True)
    reporting = FreePageReporting(ram, physical)  # type: ignore[arg-type]
    reporting.step(DELAY_MS - 1)
    assert ram.given == []
    reporting.step(1)
    assert [blocks_of(pages) for pages in ram.given] == [[2, 3]], "one page of block 1 is in use, the rest is no block"
    reporting.step(5 * DELAY_MS)
    assert len(ram.given) == 1, "what was reported is not reported again"
    physical.release(first)
    physical.release(physical.allocate(3 * BLOCK_PAGES, overwritten=True))
    reporting.step(DELAY_MS)
    assert blocks_of(ram.given[1]) == [0, 1, 2], "block 2 was used meanwhile"
    assert reporting.reported == 5 * BLOCK_PAGES


@pytest.mark.parametrize(("blocks", "turns"), [(70, [32, 32, 6]), (600, [64, 64])])
def test_so_many_blocks_a_turn_by_how_many_are_free(blocks: int, turns: list[int]) -> None:
    ram = Giving(1)
    ram.pages = blocks * BLOCK_PAGES
    given: list[int] = []
    ram.discard = lambda pages: given.append(len(pages) // BLOCK_PAGES)  # type: ignore[method-assign]
    physical = PhysicalMemory(ram, np.arange(ram.pages), "left")  # type: ignore[arg-type]
    reporting = FreePageReporting(ram, physical)  # type: ignore[arg-type]
    for _ in turns:
        reporting.step(DELAY_MS)
    assert given == turns
    assert max(turns) == -(-blocks // (16 * BATCH)) * BATCH


def kernel_of(given: GuestSpec) -> tuple[GuestKernel, Giving]:
    ram = Giving(given.memory_pages)
    kernel = GuestKernel(given, ram, Filesystem(open_disk(given.disk), 100, 1), 0)  # type: ignore[arg-type]
    kernel.start()
    return kernel, ram


def test_the_balloon_fills_to_its_target_drops_cache_for_it_and_gives_back_what_it_took() -> None:
    kernel, ram = kernel_of(spec(mib=16))
    kernel.read(np.arange(2000))
    cached, free = kernel.cache.size, kernel.physical.free
    balloon = Balloon(kernel, BalloonSpec(target_mib=6))
    balloon.step(2)
    assert len(balloon) == 2 * AT_ONCE, "256 pages a millisecond"
    balloon.step(100)
    assert len(balloon) == 10 * 256
    assert sum(map(len, ram.given)) == 10 * 256
    assert kernel.cache.size < cached
    balloon.aim(0)
    balloon.step(1000)
    assert len(balloon) == 0
    assert kernel.physical.free == free + cached - kernel.cache.size


def test_a_balloon_that_finds_nothing_rests_and_leaves_the_guest_its_reserve() -> None:
    kernel, ram = kernel_of(spec(mib=16))
    balloon = Balloon(kernel, BalloonSpec(target_mib=0.01))
    balloon.step(10_000)
    assert 0 < kernel.physical.free + kernel.cache.size == ram.pages // 128


@pytest.mark.parametrize("deflates", [True, False])
def test_a_guest_out_of_memory_takes_pages_back_if_it_may(deflates: bool) -> None:
    kernel, _ = kernel_of(spec(mib=16))
    kernel.balloon = Balloon(kernel, BalloonSpec(target_mib=4, deflate_on_oom=deflates))
    kernel.balloon.step(1000)
    size, wanted = len(kernel.balloon), kernel.physical.free + 300
    if not deflates:
        with pytest.raises(GuestError, match="out of memory"):
            kernel.allocate(wanted, overwritten=True)
        return
    kernel.allocate(wanted, overwritten=True)
    assert len(kernel.balloon) == size - 512
    kernel.balloon.step(1000)
    assert len(kernel.balloon) == size - 512, "until the host says something else"


def test_a_pulse_presses_the_guest_down_for_a_while_and_again() -> None:
    kernel, ram = kernel_of(spec(mib=16))
    balloon = Balloon(kernel, BalloonSpec(pulse_every_s=10, pulse_s=2, pulse_mib=8))
    sizes = []
    for _ in range(25):
        balloon.step(1000)
        sizes.append(len(balloon))
    assert [second for second, size in enumerate(sizes, 1) if size] == [10, 11, 20, 21]
    assert set(sizes) == {0, 8 * 256}
    assert len(ram.given) >= 2


def test_a_guest_reports_and_inflates_as_it_lives_and_knows_what_it_holds() -> None:
    given = spec(mib=32, workload="idle", free_page_reporting=True, balloon=BalloonSpec(target_mib=24))
    made, _ = boot(given)
    made.tick(5000)
    stats = made.stats()
    assert stats.balloon_pages == 8 * 256
    assert stats.kernel_pages + stats.cached_pages + stats.anonymous_pages + stats.free_pages == 24 * 256
    assert made._reporting is not None
    assert made._reporting.reported > 0
    assert made.verify() > 0
    made.aim_balloon(28)
    made.reboot()
    made.tick(5000)
    assert made.stats().balloon_pages == 4 * 256, "what the host wants outlasts a reboot"
