"""A booted guest: same disk, same bytes; what randomisation and the options for free pages do to them."""

from __future__ import annotations

import numpy as np
import pytest

from kit.guest_ram import DISK, Ram, boot, guest, spec
from vmdedup.errors import GuestError, UsageError
from vmdedup.guest.content import heap_pages
from vmdedup.guest.diskspec import open_disk
from vmdedup.guest.filesystem import Filesystem
from vmdedup.guest.machine import Guest
from vmdedup.guest.mixes import FILE_MIX, HeapMix
from vmdedup.guest.seeds import keys
from vmdedup.guest.spec import Variant

SHARED = open_disk(DISK)


def contents(ram: Ram, pages: np.ndarray[tuple[int], np.dtype[np.int64]]) -> set[bytes]:
    """The different contents of pages that are not all zero."""
    return {page.tobytes() for page in ram.bytes[pages] if page.any()}


def image(made: Guest, ram: Ram) -> bytes:
    return ram.bytes[made.kernel.placement.image].tobytes()


def heaps(made: Guest, ram: Ram) -> set[bytes]:
    return contents(ram, np.concatenate([process.heap.frames for process in made.kernel.processes]))


def alike(first: set[bytes], second: set[bytes]) -> float:
    """Share of the first's contents that the second has too."""
    return len(first & second) / len(first)


def test_equal_specs_store_the_same_and_other_seeds_do_not() -> None:
    stores = {}
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        made, ram = boot(spec(seed=seed, workload="webdb"), SHARED)
        made.tick(500)
        stores[name] = ram.stores()
    assert stores["a"] == stores["b"] != stores["c"]


def test_the_size_of_a_tick_does_not_change_what_boot_stores_in_which_page() -> None:
    coarse, by_coarse = boot(spec(), SHARED)
    fine, by_fine = guest(spec(), SHARED)
    fine.boot()
    while fine.tick(1.5).state == "booting":
        pass
    assert by_coarse.stores() == by_fine.stores()
    assert coarse.stats().cached_pages == fine.stats().cached_pages


def test_guests_of_one_disk_hold_the_same_files_kernel_and_common_heaps() -> None:
    (first, one), (second, two) = (boot(spec(seed=seed), SHARED) for seed in (1, 2))
    assert image(first, one) == image(second, two)
    pages, frames = first.kernel.cache.contents()
    others = second.kernel.cache.lookup(pages)
    assert (others >= 0).all()
    assert np.array_equal(one.bytes[frames], two.bytes[others])
    assert (frames != others).mean() > 0.05, "jitter puts pages elsewhere"


@pytest.mark.parametrize("common", [0.0, 0.4, 1.0])
def test_heaps_are_alike_for_the_stated_share(common: float) -> None:
    mix = HeapMix(common=common, zero_pages=0.0)
    (first, one), (second, two) = (boot(spec(seed=seed, heap=mix), SHARED) for seed in (1, 2))
    assert alike(heaps(first, one), heaps(second, two)) == pytest.approx(common, abs=0.05)


def test_another_release_differs_in_files_and_kernel() -> None:
    (first, one), (second, two) = (
        boot(spec(seed=1, variant=variant), SHARED) for variant in (Variant(), Variant(0.5, shifted=1.0))
    )
    assert image(first, one) != image(second, two)
    pages, frames = first.kernel.cache.contents()
    others = second.kernel.cache.lookup(pages)
    both = others >= 0
    equal = (one.bytes[frames[both]] == two.bytes[others[both]]).all(axis=1)
    files, pages_of = SHARED.index.file_of(pages[both]), SHARED.index.pages_of
    differing = second.disk.differs(files)  # type: ignore[attr-defined]
    assert np.array_equal(equal[~differing], np.ones((~differing).sum(), dtype=bool))
    assert equal[differing].mean() < 0.05
    read = np.unique(files)
    told_apart = [
        not np.array_equal(first.disk.read(pages_of(file)), second.disk.read(pages_of(file))) for file in read.tolist()
    ]
    assert np.array_equal(second.disk.differs(read), told_apart)  # type: ignore[attr-defined]
    # Half of all files, each by a draw of its own: four standard deviations.
    assert np.mean(told_apart) == pytest.approx(0.5, abs=4 * 0.5 / len(read) ** 0.5)


def test_randomised_pages_are_the_same_pages_elsewhere() -> None:
    alike_heaps = HeapMix(common=0.25)
    (first, one), (second, two) = (boot(spec(seed=seed, aslr="pages", heap=alike_heaps), SHARED) for seed in (1, 2))
    assert first.kernel.placement.image[0] != second.kernel.placement.image[0]
    assert image(first, one) == image(second, two)
    assert alike(heaps(first, one), heaps(second, two)) > 0.2


def test_randomised_bytes_are_the_same_bytes_at_other_alignments() -> None:
    (first, one), (second, two) = (boot(spec(seed=seed, aslr="bytes"), SHARED) for seed in (1, 2))
    shift = second.kernel.placement.shift - first.kernel.placement.shift
    assert shift
    if shift < 0:
        (first, one), (second, two), shift = (second, two), (first, one), -shift
    assert image(first, one)[: -shift or None][4096:] == image(second, two)[shift:][4096:]
    images = [contents(ram, made.kernel.placement.image) for made, ram in ((first, one), (second, two))]
    assert alike(*images) == 0
    assert alike(heaps(first, one), heaps(second, two)) < 0.01
    pages, frames = first.kernel.cache.contents()
    assert np.array_equal(one.bytes[frames], two.bytes[second.kernel.cache.lookup(pages)])


def test_more_is_read_than_fits() -> None:
    made, _ = boot(spec(mib=8), SHARED)
    every = np.arange(SHARED.index.pages)
    made.kernel.read(every)
    stats = made.stats()
    assert stats.evicted_pages > 0
    assert stats.file_pages_missed == stats.cached_pages + stats.evicted_pages
    assert made.verify() > 0
    parts = stats.kernel_pages + stats.cached_pages + stats.anonymous_pages + stats.free_pages
    assert parts == stats.memory_pages


def test_reading_does_not_evict_what_it_has_just_found() -> None:
    made, _ = boot(spec(mib=4, boot={"processes": 1, "cache_share": 0.0, "heap_share": 0.0}), SHARED)
    kernel = made.kernel
    room = kernel.physical.free + kernel.cache.size
    kernel.map_file(np.arange(1000, 1000 + room - 16))
    before = np.arange(3000, 3016)
    kernel.read(before)
    kernel.physical.allocate(kernel.physical.free, overwritten=True)
    kernel.read(np.arange(3000, 3032))
    assert (kernel.cache.lookup(before) >= 0).all()
    assert made.verify() == kernel.cache.size


def test_written_files_are_read_again_as_written() -> None:
    made, ram = boot(spec(mib=8), SHARED)
    kernel, pages = made.kernel, np.arange(100, 140)
    kernel.rewrite(pages)
    written = ram.bytes[kernel.cache.lookup(pages)]
    assert not (written == SHARED.read(pages)).all(axis=1).any()
    kernel.read(np.arange(1000, 1000 + kernel.memory.pages))
    assert (kernel.cache.lookup(pages) < 0).all()
    kernel.read(pages)
    assert np.array_equal(ram.bytes[kernel.cache.lookup(pages)], written)
    made.reboot()
    made.kernel.read(pages)
    assert np.array_equal(ram.bytes[made.kernel.cache.lookup(pages)], written)
    made.kernel.rewrite(pages)
    assert not (ram.bytes[made.kernel.cache.lookup(pages)] == written).all(axis=1).any()


def test_new_files_use_a_ring_of_scratch_pages() -> None:
    files = Filesystem(SHARED, 20, seed=1)
    first = files.create(keys(1, np.arange(8)))
    assert first.tolist() == list(range(SHARED.index.pages, SHARED.index.pages + 8))
    held = files.read(first)
    assert np.array_equal(held, heap_pages(keys(1, np.arange(8)), FILE_MIX))
    files.create(keys(2, np.arange(12)))
    assert np.array_equal(files.read(first), held)
    assert np.array_equal(files.create(keys(3, np.arange(8))), first)
    assert not np.array_equal(files.read(first), held)
    assert len(files.create(keys(4, np.arange(50)))) == 20


def test_a_page_rewritten_without_end_still_differs_from_the_disks() -> None:
    files, page = Filesystem(SHARED, 1, seed=1), np.array([5])
    files.rewrite(page)
    first = files.read(page)
    for _ in range((1 << 16) - 1):
        files.rewrite(page)
    assert np.array_equal(files.read(page), first)


def test_memory_that_runs_out_is_one_clear_line() -> None:
    made, _ = boot(spec("db", mib=8), SHARED)
    with pytest.raises(GuestError, match=r"^guest 'db' is out of memory: 2048 pages, of which \d+ are anon"):
        made.kernel.grow(made.kernel.anonymous(), np.arange(2048, dtype=np.uint64))


def test_processes_give_back_what_they_had() -> None:
    made, _ = boot(spec(), SHARED)
    before = made.stats()
    process = made.kernel.spawn(np.arange(50), program=1, heap_pages_wanted=100)
    assert made.stats().anonymous_pages == before.anonymous_pages + 100
    made.kernel.exit(process)
    after = made.stats()
    assert (after.anonymous_pages, after.processes) == (before.anonymous_pages, before.processes)
    assert after.free_pages + after.cached_pages == before.free_pages + before.cached_pages


@pytest.mark.parametrize(("policy", "stale"), [("left", True), ("zero_on_free", False), ("zero_on_alloc", False)])
def test_kernel_objects_leave_the_rest_of_their_pages_as_the_option_says(policy: str, stale: bool) -> None:
    made, ram = boot(spec(free_pages=policy), SHARED)
    process = made.kernel.spawn(np.arange(5), program=1, heap_pages_wanted=50)
    made.kernel.exit(process)
    frames = made.kernel.own.objects(40, "test")
    assert ram.bytes[frames][:, 3072:].any() == stale


def test_a_reboot_reads_the_same_files_again_and_keeps_old_bytes_around() -> None:
    made, ram = boot(spec(aslr="pages"), SHARED)
    before = made.kernel.placement.image[0]
    held = contents(ram, np.arange(ram.pages))
    made.reboot()
    assert made.state == "booting"
    assert alike(held, contents(ram, np.arange(ram.pages))) > 0.5
    while made.tick(20).state == "booting":
        pass
    assert made.stats().boots == 2
    assert made.kernel.placement.image[0] != before
    assert made.verify() > 0


def test_a_reboot_of_a_guest_that_zeroes_on_free_leaves_nothing_old() -> None:
    made, ram = boot(spec(free_pages="zero_on_free"), SHARED)
    made.reboot()
    assert not ram.bytes[made.kernel.physical.free_pages()].any()


def test_boot_again_after_the_stated_time() -> None:
    made, _ = guest(spec(workload="boot", parameters={"again_s": 2.0}), SHARED)
    made.boot()
    for _ in range(25):
        made.tick(200)
    assert made.stats().boots == 3


def test_leaving_gives_memory_back_and_ends_it() -> None:
    made, ram = boot(spec(), SHARED)
    made.leave()
    assert ram.gone
    assert made.stats().state == "left"
    for act in (made.boot, made.reboot, made.leave, made.verify):
        with pytest.raises(GuestError, match="guest 'g' is left"):
            act()


def test_wrong_bytes_are_found() -> None:
    made, ram = boot(spec(), SHARED)
    frame = int(made.kernel.cache.contents()[1][7])
    ram.bytes[frame, 99] ^= 1
    with pytest.raises(GuestError, match=f"page {frame} of 'g' does not hold its file's bytes"):
        made.verify()
    ram.bytes[frame, 99] ^= 1
    heap = next(process.heap for process in made.kernel.processes if len(process.heap))
    ram.bytes[heap.frames[0], 0] ^= 1
    with pytest.raises(GuestError, match="does not hold what the guest stored"):
        made.verify()


def test_a_host_with_other_pages_is_refused() -> None:
    given = spec("odd")
    with pytest.raises(UsageError, match="guest 'odd' needs 4096 pages of 4096 bytes, not 100"):
        Guest(given, Ram(100), SHARED)  # type: ignore[arg-type]
