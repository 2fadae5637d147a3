"""Another release of a disk: the stated share of files differs, in the stated ways, alike for equal seeds."""

from __future__ import annotations

import numpy as np
import pytest

from vmdedup.guest.diskspec import DiskSpec, open_disk
from vmdedup.guest.spec import Variant
from vmdedup.guest.variant import VariantDisk, in_release

BASE = open_disk(DiskSpec(kind="generated", seed=1, mib=24))
EVERY = np.arange(BASE.index.files)
PAGES = np.arange(BASE.index.pages)
CONTENT = BASE.read(PAGES)


def changed_files(variant: Variant) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    differing = (VariantDisk(BASE, variant).read(PAGES) != CONTENT).any(axis=1)
    return np.unique(BASE.index.file_of(PAGES[differing]))


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_the_stated_share_of_files_differs(share: float) -> None:
    variant = Variant(differs=share, seed=5)
    changed = changed_files(variant)
    assert len(changed) / BASE.index.files == pytest.approx(share, abs=0.05)
    assert np.array_equal(changed, np.flatnonzero(VariantDisk(BASE, variant).differs(EVERY)))


def test_the_disks_own_release_is_the_disk() -> None:
    assert in_release(BASE, Variant(seed=9)) is BASE
    assert isinstance(in_release(BASE, Variant(differs=0.1)), VariantDisk)


def test_equal_variants_are_equal_and_others_are_not() -> None:
    one = VariantDisk(BASE, Variant(differs=0.5, seed=1)).read(PAGES)
    assert np.array_equal(one, VariantDisk(BASE, Variant(differs=0.5, seed=1)).read(PAGES))
    assert not np.array_equal(changed_files(Variant(0.3, seed=1)), changed_files(Variant(0.3, seed=2)))


def test_a_rebuilt_file_differs_in_one_page_of_sixteen() -> None:
    differing = (VariantDisk(BASE, Variant(1.0, shifted=0.0)).read(PAGES) != CONTENT).any(axis=1)
    within = PAGES - BASE.index.first_pages[BASE.index.file_of(PAGES)]
    assert not (within[differing] % 16).any()
    assert differing.sum() > 0.9 * (within % 16 == 0).sum()


def test_a_shifted_file_holds_the_same_bytes_further_on() -> None:
    disk = VariantDisk(BASE, Variant(1.0, shifted=1.0))
    large = np.flatnonzero(BASE.index.sizes > 40_000)[:20]
    for file in large.tolist():
        size = int(BASE.index.sizes[file])
        old = BASE.read(BASE.index.pages_of(file)).tobytes()[:size]
        new = disk.read(disk.index.pages_of(file)).tobytes()[:size]
        inserted = new.rindex(old[20_000:20_400]) - 20_000
        assert 16 <= inserted < 256
        assert new[1024:] == old[1024 - inserted : size - inserted]
        assert b"release " in new[:1024]


def test_reading_page_by_page_gives_the_same_as_reading_at_once() -> None:
    disk = VariantDisk(BASE, Variant(1.0, shifted=0.5))
    some = PAGES[:300]
    one_by_one = [disk.read(some[page : page + 1]) for page in range(300)]
    assert np.array_equal(np.concatenate(one_by_one), disk.read(some))


def test_a_program_that_differs_has_another_name_in_seeds() -> None:
    disk = VariantDisk(BASE, Variant(0.4, seed=3))
    same = disk.content_keys(EVERY) == BASE.content_keys(EVERY)
    assert np.array_equal(same, ~disk.differs(EVERY))
