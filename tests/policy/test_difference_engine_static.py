"""Memory that stands still: classes of Table 1, the detector of Figure 2, and the engine's own detector beside it."""

from __future__ import annotations

import numpy as np
import pytest

from kit.engine_bench import PAGE, EngineBench, family, noise
from vmdedup.policy.difference_engine.records import CANDIDATES
from vmdedup.policy.difference_engine.similar import find_candidates, offer
from vmdedup.policy.difference_engine.static import StaticMemory
from vmdedup.subpage.detector import HashSimilarityDetector

LOOSE = {"bits": 32}  # no two signatures are equal by chance


def test_planted_classes_are_found_exactly() -> None:
    rows = np.concatenate(
        [np.zeros((9, PAGE), np.uint8), np.repeat(noise(4, 1), 3, axis=0), noise(10, 2), family(6, 3), family(5, 4)]
    )
    rows = rows[np.random.default_rng(1).permutation(len(rows))]
    found = StaticMemory(rows).savings(**LOOSE)
    assert (found.initial, found.unique, found.sharable, found.zero) == (42, 21, 12, 9)
    assert (found.shared, found.after_sharing) == (4, 21 + 4 + 1)
    assert (found.reference, found.patchable) == (1 + 4 + 10 + 2, 5 + 4)
    assert 9 * 16 < found.patch_bytes < 9 * 160
    assert found.alone == 0
    assert found.after_patching == found.reference + 1
    assert found.percent_shared() == pytest.approx(100 * 16 / 42)
    assert found.percent_patched() == pytest.approx(100 * 8 / 42)


def test_no_pages_and_only_zeros() -> None:
    assert StaticMemory(np.zeros((0, PAGE), np.uint8)).savings(bits=18).percent_shared() == 0
    zeros = StaticMemory(np.zeros((8, PAGE), np.uint8)).savings(bits=18)
    assert (zeros.zero, zeros.after_sharing, zeros.after_patching) == (8, 1, 1)


def test_pages_that_end_in_zeros_are_patched_against_each_other_and_need_no_reference() -> None:
    """The zero page, though it came first, is none: one of the others is, and the zero page stays as well."""
    rows = noise(12, 8)
    rows[:, 500:] = 0
    rows[0] = 0
    found = StaticMemory(rows).savings(seed=1, **LOOSE)
    assert (found.zero, found.reference, found.patchable, found.alone) == (1, 2, 10, 10)


def scattered(seed: int, families: int = 40, members: int = 12) -> np.ndarray:
    """Families whose members differ from each other in a few runs, a quarter of the page in all."""
    random = np.random.default_rng(seed)
    rows = np.repeat(noise(families, seed), members, axis=0)
    for row in rows:
        for start in random.integers(0, PAGE - 256, 4):
            row[start : start + 256] = random.integers(0, 256, 256)
    return rows[random.permutation(len(rows))]


def test_the_ordering_of_figure_2() -> None:
    """k from 1 to 2 gains much, to 4 little; s > 1 loses; c changes nearly nothing."""
    memory = StaticMemory(scattered(5))
    mean = {
        setting: float(np.mean([memory.savings(*setting, **LOOSE, seed=seed).percent_patched() for seed in range(6)]))
        for setting in ((1, 1, 1), (2, 1, 1), (4, 1, 1), (1, 2, 1), (2, 2, 1), (2, 1, 2), (2, 1, 8))
    }
    assert mean[1, 1, 1] < mean[2, 1, 1] <= mean[4, 1, 1]
    assert mean[4, 1, 1] - mean[2, 1, 1] < mean[2, 1, 1] - mean[1, 1, 1]
    assert mean[1, 2, 1] < mean[1, 1, 1]
    assert mean[2, 2, 1] < mean[2, 1, 1]
    assert mean[2, 1, 8] - mean[2, 1, 1] < mean[2, 1, 1] - mean[1, 1, 1]


def test_short_signatures_collide_and_cost_savings() -> None:
    memory = StaticMemory(np.concatenate([scattered(6, 20), noise(300, 7)]))
    saved = [memory.savings(bits=bits).percent_patched() for bits in (2, 4, 8, 18, 32)]
    assert saved[0] < saved[1] < saved[2] < saved[3] <= saved[4]


@pytest.mark.parametrize(("k", "s", "c"), [(1, 1, 1), (2, 1, 1), (2, 2, 1), (3, 1, 2), (4, 2, 3)])
def test_the_engine_s_detector_finds_what_the_detector_finds(k: int, s: int, c: int) -> None:
    """Both with the same places; the engine's signatures are other hashes, long enough not to collide here."""
    rows = scattered(k, families=6, members=8)
    bench = EngineBench(rows, detector_k=k, detector_s=s, detector_c=c, detector_bits=24)
    h, records = bench.host.arrays, bench.engine._records
    for page in range(bench.count):
        h.pte[bench.entry(page)] &= ~(8 | 16)  # neither DIRTY nor SOFT: seen by a scan
    detector = HashSimilarityDetector(k, s, c, seed=1, bits=32)
    np.testing.assert_array_equal(detector.offsets, records.places * 8)
    signatures = detector.signatures(rows)
    some = 0
    for page, own in enumerate(signatures):
        expected = [bench.entry(other) for other in detector.candidates(own)]
        count = int(find_candidates(h, records, bench.entry(page), bench.frame(page), 0))
        assert records.todo[0, CANDIDATES : CANDIDATES + count].tolist() == expected
        some += count
        if not expected:
            detector.remember(page, own)
            offer(h, records, bench.entry(page), bench.frame(page))
    assert some > 0
