"""Known chances: what is found by drawing lots is found as often as the lots say, over many seeds.

A count of n independent finds, each of chance p, is binomial; it is refused if one as far out, on its side, would come
in less than one of a million runs. Nothing else is allowed for, but that signatures of 18 bits may agree by chance.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from kit.planted import BLOCKS, DOMAINS, HEAP, IN_PATCH, ZYGOTE, Plan, canonical, changed_blocks, guests_of, write_dumps
from vmdedup.policy.base import Policy
from vmdedup.policy.difference_engine.static import StaticMemory
from vmdedup.policy.table import load_policy
from vmdedup.subpage.detector import HashSimilarityDetector

UNLIKELY = 1e-6
BITS = 18
DISTANCES = (16, 32, 48)  # blocks of 64 that differ


def chance(k: int, s: int, distance: int) -> float:
    """That HashSimilarityDetector(k, s) finds a page of which so many blocks, any, were changed.

    One of k groups of s blocks, all at different places, has to be without a change: by inclusion and exclusion.
    """
    ways = math.comb(BLOCKS, distance)
    found = 0
    for groups in range(1, k + 1):
        sign = 1 if groups % 2 else -1
        found += sign * math.comb(k, groups) * math.comb(BLOCKS - groups * s, distance)
    return found / ways


def tails(found: int, tries: int, least: float, most: float) -> float:
    """The chance of so few finds or fewer at the chance `least`, or of so many or more at `most`; the smaller one."""

    def exactly(count: int, p: float) -> float:
        if p >= 1:
            return float(count == tries)
        logarithm: float = math.lgamma(tries + 1) - math.lgamma(count + 1) - math.lgamma(tries - count + 1)
        logarithm += count * math.log(p) + (tries - count) * math.log1p(-p)
        return math.exp(logarithm)

    few = math.fsum(exactly(count, least) for count in range(found + 1))
    many = math.fsum(exactly(count, most) for count in range(found, tries + 1))
    return min(few, many)


def accidents(pages: int, k: int = 2) -> float:
    """The most by which signatures that agree by chance can change a page's chance, or its base's, of k in `pages`."""
    return 2 * k * pages / (1 << BITS)


def members(base: bytes, count: int, distance: int, random: np.random.Generator) -> list[bytes]:
    """Pages that differ from the base in so many blocks each, any, by a byte."""
    return [changed_blocks(base, random.choice(BLOCKS, distance, replace=False), random) for _ in range(count)]


def test_the_chances_are_those_of_counting() -> None:
    """By all pairs of places, for the paper's detector."""
    for distance in (0, 1, 2, 16, 63, 64):
        assert chance(2, 1, distance) == pytest.approx(1 - distance * (distance - 1) / (BLOCKS * (BLOCKS - 1)))
    assert chance(1, 2, 16) == pytest.approx(48 * 47 / (64 * 63))
    assert tails(5, 10, 0.5, 0.5) == pytest.approx(638 / 1024)
    assert tails(0, 10, 0.5, 0.5) == pytest.approx(1 / 1024)


@pytest.mark.parametrize(("k", "s"), [(1, 1), (2, 1), (4, 1), (2, 2), (1, 4), (3, 3)])
@pytest.mark.parametrize("distance", [4, 16, 32])
def test_the_detector_finds_as_many_as_chance_says(k: int, s: int, distance: int) -> None:
    random = np.random.default_rng(1000 * k + 100 * s + distance)
    each, found = 100, 0
    for seed in range(8):
        base = random.bytes(4096)
        rows = np.frombuffer(b"".join([base, *members(base, each, distance, random)]), np.uint8).reshape(-1, 4096)
        detector = HashSimilarityDetector(k, s, 1, bits=BITS, seed=seed)
        signatures = detector.signatures(rows)
        detector.remember(0, signatures[0])
        found += sum(bool(detector.candidates(own)) for own in signatures[1:])
    expected = chance(k, s, distance)
    assert tails(found, 8 * each, expected, expected + accidents(1, k)) > UNLIKELY


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_memory_that_stands_still_has_as_many_patches_as_chance_says(distance: int) -> None:
    random = np.random.default_rng(distance)
    each, found = 60, 0
    for seed in range(8):
        base = random.bytes(4096)
        rows = np.frombuffer(b"".join([base, *members(base, each, distance, random)]), np.uint8).reshape(-1, 4096)
        savings = StaticMemory(rows).savings(seed=seed)
        assert savings.reference + savings.patchable == 1 + each
        found += savings.patchable
    expected = chance(2, 1, distance)
    assert tails(found, 8 * each, expected - accidents(each), expected + accidents(each)) > UNLIKELY


def plant_members(seed: int, each: int) -> Plan:
    """A base, what is like it at each distance, and nothing else."""
    plan = Plan(seed)
    plan.put("base", "base", plan.noise(), 0, ZYGOTE)
    for distance in DISTANCES:
        for number, page in enumerate(members(plan.contents["base"], each, distance, plan.random)):
            plan.put(str(distance), f"{distance} {number}", page, number % len(DOMAINS), HEAP)
    return plan


@pytest.mark.parametrize(
    ("name", "rounds", "ms", "k", "s"),
    [
        ("difference_engine", 7, 4000, 2, 1),
        ("difference_engine", 7, 4000, 1, 1),
        ("difference_engine", 7, 4000, 4, 2),
        ("similar_page", 2, 100, 2, 1),
        ("background", 4, 70_000, 4, 1),
    ],
)
def test_policies_keep_as_many_differences_as_chance_says(
    name: str, rounds: int, ms: int, k: int, s: int, tmp_path: Path
) -> None:
    """(2, 1) is what the paper's detector is without being told; background's has four probes."""
    each, seeds = 36, 8
    found = dict.fromkeys(DISTANCES, 0)
    for seed in range(seeds):
        plan = plant_members(seed, each)
        with guests_of(plan, write_dumps(plan, tmp_path), declared=True) as guests:
            policy = load_policy(name)(guests.host, seed)
            for knob, value in {"detector_k": k, "detector_s": s}.items() if name == "difference_engine" else ():
                policy.set(knob, str(value))
            for mm in guests.mms:
                policy.enter(mm)
            for _ in range(rounds):
                policy.charge(policy.now_ms + ms, 0)
                policy.scan(1000)
            policy.check()
            for page, kept in zip(guests.planted(), guests.seen(), strict=True):
                if kept == IN_PATCH:
                    found[int(page.what)] += 1
            guests.verify()
    for distance, count in found.items():
        expected, change = chance(k, s, distance), accidents(len(DISTANCES) * each, k)
        assert tails(count, seeds * each, expected - change, expected + change) > UNLIKELY


@pytest.mark.parametrize("share", [0.25, 1, 3])
def test_esx_finds_pairs_as_its_drawings_have_it(share: float, tmp_path: Path) -> None:
    """After n drawings of N pages a pair is shared if both of it were drawn."""
    plan = Plan(5)
    for number in range(150):
        for guest in (number % 3, (number + 1) % 3):
            plan.put("equal", f"pair {number}", plan.contents.get(f"pair {number}") or plan.noise(), guest, HEAP)
    paths, seeds, found = write_dumps(plan, tmp_path), 6, 0
    for seed in range(seeds):
        with guests_of(plan, paths, declared=False) as guests:
            policy: Policy = load_policy("esx")(guests.host, seed)
            for knob in ("host_pages_per_second", "vm_pages_per_second"):
                policy.set(knob, "0")
            for mm in guests.mms:
                policy.enter(mm)
            assert policy.scan(int(300 * share)) == int(300 * share)
            seen = canonical(label for label in guests.seen() if not isinstance(label, str))
            assert len(seen) == 300
            found += 300 - len(set(seen))
    missed = (1 - 1 / 300) ** (300 * share)
    both = 1 - 2 * missed + (1 - 2 / 300) ** (300 * share)
    # Drawings for one pair are lost for others: counts stray less than if they were independent.
    assert tails(found, 150 * seeds, both, both) > UNLIKELY
