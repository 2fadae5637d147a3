"""What Linux holds of a guest's memory: its image, moved at each boot; its own pages; what its boot leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kit.guest_ram import DISK, Ram, boot, guest, spec
from kit.kernel_files import PAGES, bzimage, elf
from vmdedup.guest.diskspec import open_disk
from vmdedup.guest.index import FileIndex
from vmdedup.guest.linux.built import BuiltKernel
from vmdedup.guest.linux.cache import booted_pages
from vmdedup.guest.linux.image import MadeKernel
from vmdedup.guest.linux.memory import LinuxMemory
from vmdedup.guest.linux.place import FULL_MEMORY, KASLR_ALIGN, place_linux
from vmdedup.guest.machine import Guest
from vmdedup.guest.spec import Aslr, Variant

SHARED = open_disk(DISK)
MIB = 64
POISON = 0xCC


def booted(seed: int, **options: Any) -> tuple[Guest, Ram]:
    """A guest of Linux that is up."""
    return boot(spec(mib=MIB, kernel_mib=0, seed=seed, boot={"late_s": 0}, **options), SHARED)


def alike(ram: Ram, frames: np.ndarray, other: Ram) -> float:
    """Share of the pages, neither zeros nor poison, whose content the other guest has somewhere."""
    held = {page.tobytes() for page in other.bytes}
    own = [page.tobytes() for page in ram.bytes[frames] if page.any() and not (page == POISON).all()]
    return sum(page in held for page in own) / len(own)


@pytest.fixture(scope="module")
def pair() -> list[tuple[Guest, Ram]]:
    """Two boots of one release."""
    return [booted(1), booted(2)]


def own_pages(made: Guest) -> LinuxMemory:
    own = made.kernel.own
    assert isinstance(own, LinuxMemory)
    return own


def test_classes_of_pages_are_as_large_as_in_real_guests(pair: list[tuple[Guest, Ram]]) -> None:
    """Per cent of memory of a guest of 128 MiB or less, as Debian's kernel has it; a point is a per cent of memory."""
    for made, ram in pair:
        held = {name: 100 * len(pages) / ram.pages for name, pages in own_pages(made).held.items()}
        expected = {"image": 26.4, "records": 1.56, "tables": 2.2, "slab": 12.2, "other": 9.4}
        assert held == pytest.approx(expected, abs=1)
        assert 100 * (ram.bytes == POISON).all(axis=1).mean() == pytest.approx(4.6, abs=1.5)


def test_no_page_is_two_things(pair: list[tuple[Guest, Ram]]) -> None:
    for made, _ in pair:
        kernel = made.kernel
        parts = [*own_pages(made).held.values(), kernel.cache.contents()[1], kernel.physical.free_pages()]
        parts += [mapping.frames for mapping in kernel.mappings]
        every = np.concatenate(parts)
        assert len(np.unique(every)) == len(every)


def test_two_boots_have_half_of_the_image_in_common_and_little_of_the_rest(pair: list[tuple[Guest, Ram]]) -> None:
    (first, one), (second, two) = pair
    held = own_pages(first).held
    assert first.kernel.placement.distance != second.kernel.placement.distance  # type: ignore[attr-defined]
    assert 0.3 < alike(one, held["image"], two) < 0.6
    assert alike(one, held["records"], two) < 0.1
    assert alike(one, held["slab"], two) < 0.25


def test_the_packed_kernel_is_left_in_free_pages(pair: list[tuple[Guest, Ram]]) -> None:
    made, ram = pair[0]
    packed = own_pages(made)._image.packed()
    (first, _), (second, skipped) = made.kernel.placement.packed  # type: ignore[attr-defined]
    assert np.array_equal(ram.bytes[first : first + 100], packed[:100])
    last = second + len(packed) - skipped - 1
    assert np.array_equal(ram.bytes[last], packed[-1])
    assert first in made.kernel.physical.free_pages()


def test_another_release_has_another_kernel(pair: list[tuple[Guest, Ram]]) -> None:
    made, ram = booted(3, variant=Variant(differs=0.2, seed=9))
    assert alike(ram, own_pages(made).held["image"], pair[0][1]) == 0


def test_the_same_seed_boots_the_same(pair: list[tuple[Guest, Ram]]) -> None:
    assert booted(1)[1].stores() == pair[0][1].stores()


def test_a_reboot_moves_the_kernel() -> None:
    made, _ = guest(spec(mib=MIB, kernel_mib=0), SHARED)
    made.boot()
    before = made.kernel.placement.distance  # type: ignore[attr-defined]
    made.reboot()
    assert made.kernel.placement.distance != before  # type: ignore[attr-defined]
    assert made.verify() >= 0


@pytest.mark.parametrize("pages", [1024, 4096, 16384, 32768, 65536])
@pytest.mark.parametrize("aslr", ["linux", "off", "pages", "bytes"])
def test_every_page_has_one_place_and_all_are_handed_out(pages: int, aslr: Aslr) -> None:
    image = 11_776 * min(pages, FULL_MEMORY) // FULL_MEMORY
    for seed in range(5):
        place = place_linux(pages, image, image // 4, aslr, 0.1, seed)
        every = np.concatenate((place.image, place.order))
        low = min(256, pages // 8)
        assert sorted(every.tolist()) == list(range(low, pages)) or set(range(low, pages)) == set(every.tolist())
        assert len(np.unique(every)) == len(every)
        assert set(place.own.tolist()) <= set(place.order.tolist())
        assert place.distance % KASLR_ALIGN == 0
        assert (place.distance == 0) == (aslr == "off") or aslr != "off"


def test_a_built_kernel_is_moved_in_a_child_too(tmp_path: Path) -> None:
    path = tmp_path / "kernel"
    path.write_bytes(bzimage(elf(), "gzip"))
    kernel = BuiltKernel.open(path)
    content = np.concatenate([pages for _, pages in kernel.blocks(0)])
    moved = np.concatenate([pages for _, pages in kernel.blocks(KASLR_ALIGN)])
    assert len(content) == len(moved) == PAGES == kernel.pages
    assert (content != moved).any(axis=1).tolist() == [True, True] + [False] * (PAGES - 2)
    assert kernel.given_back.tolist() == [False, False, True, False, True, True, False, False]
    assert not (kernel.written & kernel.given_back).any()
    assert len(kernel.packed()) == kernel.packed_pages


def test_a_made_kernel_s_parts() -> None:
    kernel = MadeKernel(7, 2000)
    blocks = list(kernel.blocks(5 * KASLR_ALIGN))
    content = np.concatenate([pages for _, pages in blocks])
    assert [first for first, _ in blocks] == list(range(0, 2000, 256))
    still = np.concatenate([pages for _, pages in kernel.blocks(0)])
    kept = ~kernel.given_back
    assert kernel.given_back.mean() == pytest.approx(0.265, abs=0.01)
    assert (content == POISON).all(axis=1)[kept].mean() == pytest.approx(0.116, abs=0.02)
    assert (content != still).any(axis=1)[kept].mean() == pytest.approx(0.29, abs=0.03)
    assert kernel.written[kept].mean() == pytest.approx(0.12, abs=0.03)


def test_what_a_boot_has_cached_is_found_by_path() -> None:
    index = FileIndex.build([("usr/sbin/sshd", 400 * 4096), ("usr/bin/none", 5 * 4096), ("usr/bin/dash", 4096 * 3)])
    pages = booted_pages(index, "debian", in_memory=False)
    assert pages is not None
    files = index.file_of(pages)
    assert set(files.tolist()) == {0, 2}
    assert (files == 2).sum() == 3, "no more than the file has"
    assert booted_pages(index, "unheard-of", in_memory=False) is None
    every = booted_pages(index, "tiny", in_memory=True)
    assert every is not None
    assert every.tolist() == list(range(index.pages))
