"""The leak meter: what times of writes tell, against results known beforehand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vmdedup.cli import run_command
from vmdedup.errors import UsageError
from vmdedup.host.memory import Host
from vmdedup.leak.attack import Attack
from vmdedup.leak.meter import measure_leak
from vmdedup.leak.timing import PRIVATE_NS, AccessTimer
from vmdedup.leak.verdict import area_under_roc, beyond_chance, bits_per_probe
from vmdedup.policy.ksm import Ksm
from vmdedup.policy.work import GUEST_PRICES_NS


def accesses(pages: int, guesses: int, noise: float, seed: int = 3, together: bool = False) -> Attack:
    """An attack by the time of accesses alone; other channels: tests/leak/test_channels.py."""
    return Attack(pages, guesses, noise, seed, together, trials=0)


SMALL = accesses(256, 32, 100)
# By chance alone an area has a standard deviation of 0.013 with 1,000 times each: 0.05 is beyond one of a thousand.
LARGE = accesses(4000, 1000, 100)
BY_CHANCE = 0.05


def times(*values: float) -> np.ndarray:
    """float64[n]."""
    return np.array(values)


def test_area_under_roc_of_small_sets_by_hand() -> None:
    assert area_under_roc(times(3, 4), times(1, 2)) == 1
    assert area_under_roc(times(1, 2), times(3, 4)) == 0
    assert area_under_roc(times(1, 1, 1), times(1, 1)) == 0.5
    assert area_under_roc(times(1, 3), times(2, 2)) == 0.5
    assert area_under_roc(times(2, 3), times(1, 2)) == (0.5 + 1 + 1 + 1) / 4  # pairs 2>1, 2=2, 3>1, 3>2


def test_bits_of_a_probe() -> None:
    assert bits_per_probe(1, 0) == 1
    assert bits_per_probe(0, 1) == 1  # always wrong is as good
    assert bits_per_probe(0.3, 0.3) == pytest.approx(0)
    # A channel that errs in one of ten either way: 1 - H(0.1).
    assert bits_per_probe(0.9, 0.1) == pytest.approx(0.5310, abs=1e-4)


def test_what_chance_shows_is_not_counted() -> None:
    """Blind guesses, 1,000 attacks of 512: about one in a thousand shows more; a tenth of a bit is always seen."""
    random = np.random.default_rng(2)
    hits, misses = random.binomial(256, 0.9, (2, 1000)) / 256
    seen = [beyond_chance(bits_per_probe(p, q), 512) > 0 for p, q in zip(hits, misses, strict=True)]
    assert sum(seen) <= 5
    assert beyond_chance(0.1, 512) == 0.1


def test_a_write_to_a_merged_page_takes_as_long_as_its_copy() -> None:
    host = Host.create(8, mms=2)
    guests = [host.add(2) for _ in range(2)]
    policy = Ksm(host)
    for memory in guests:
        memory.write_pages(np.arange(2), np.array([[7] * 4096, [memory.mm] * 4096], np.uint8))
        policy.enter(memory.mm)
    for _ in range(4):
        policy.scan(100)
    timer = AccessTimer(guests[1], 0, np.random.default_rng(1))
    assert timer.write(0) == PRIVATE_NS + GUEST_PRICES_NS["cow_break"]
    assert timer.write(0) == PRIVATE_NS  # it is one's own now
    assert timer.write(1) == PRIVATE_NS
    host.close()


def test_noise_has_the_deviation_that_was_asked_for_and_is_never_negative() -> None:
    host = Host.create(8, mms=1)
    timer = AccessTimer(host.add(1), 1000, np.random.default_rng(1))
    measured = np.array([timer.write(0) for _ in range(2000)])
    assert measured.min() == 0
    above = measured[measured > PRIVATE_NS] - PRIVATE_NS
    assert np.sqrt((above**2).mean()) == pytest.approx(1000, rel=0.1)
    host.close()


def test_ksm_tells_everything() -> None:
    leak = measure_leak("ksm", SMALL)
    assert (leak.auc, leak.true_positives, leak.false_positives, leak.merged) == (1, 1, 0, 32)
    assert leak.bits_per_guess == 1
    assert leak.seconds_to_merge is not None
    assert 0 < leak.seconds_to_merge <= leak.waited
    # 64 guesses, each a bit, in the time waited and what the writes themselves took.
    writes = (32 * GUEST_PRICES_NS["cow_break"] + 64 * PRIVATE_NS) / 1e9
    assert leak.bytes_per_hour == pytest.approx(64 / 8 * 3600 / (leak.waited + writes), rel=1e-3)


@pytest.mark.parametrize("name", ["none", "ksm_domains", "zero_only"])
def test_what_shares_nothing_between_domains_tells_nothing(name: str) -> None:
    leak = measure_leak(name, SMALL)
    assert (leak.true_positives, leak.false_positives, leak.merged, leak.seconds_to_merge) == (0, 0, 0, None)
    assert (leak.bits_per_guess, leak.bytes_per_hour) == (0, 0)
    noisy = measure_leak(name, LARGE)
    assert noisy.auc == pytest.approx(0.5, abs=BY_CHANCE)
    assert noisy.read_auc == pytest.approx(0.5, abs=BY_CHANCE)
    assert (noisy.bits_per_guess, noisy.read_bits_per_guess) == (0, 0)
    assert measure_leak(name, accesses(256, 32, 0)).auc == 0.5


def test_vusion_merges_and_tells_nothing() -> None:
    """Every access copies, whatever was merged: without noise all times are one; with noise chance is told apart."""
    leak = measure_leak("vusion", accesses(256, 32, 0))
    one = PRIVATE_NS + GUEST_PRICES_NS["cow_break"]
    assert {leak.right_ns, leak.wrong_ns, leak.read_right_ns, leak.read_wrong_ns} == {one}
    assert set(leak.right_percentiles_ns) == set(leak.wrong_percentiles_ns) == {one}
    assert (leak.auc, leak.read_auc, leak.bits_per_guess, leak.bytes_per_hour) == (0.5, 0.5, 0, 0)
    assert (leak.merged, leak.saved_pages, leak.copies) == (32, 64, 128)
    noisy = measure_leak("vusion", LARGE)
    assert noisy.merged == 1000
    assert noisy.auc == pytest.approx(0.5, abs=BY_CHANCE)
    assert noisy.read_auc == pytest.approx(0.5, abs=BY_CHANCE)


def test_reads_tell_nothing_where_only_writes_copy() -> None:
    leak = measure_leak("ksm", accesses(256, 32, 0))
    assert (leak.read_auc, leak.read_right_ns, leak.copies, leak.saved_pages) == (0.5, PRIVATE_NS, 32, 64)
    assert leak.right_percentiles_ns == (PRIVATE_NS + GUEST_PRICES_NS["cow_break"],) * 5


def test_whoever_is_of_the_same_domain_can_tell() -> None:
    assert measure_leak("ksm_domains", accesses(256, 16, 0, together=True)).auc == 1
    assert measure_leak("ksm_domains", accesses(256, 16, 0, together=True), {"scope": "2"}).auc == 0.5


@pytest.mark.parametrize(("salting", "told"), [("0", 1.0), ("1", 0.5), ("2", 0.5)])
def test_salts_keep_tenants_apart(salting: str, told: float) -> None:
    """By chance alone it does not come by some pages: nine in ten are found."""
    attack = accesses(256, 64, 0)
    leak = measure_leak("esx", attack, {"salting": salting, "host_pages_per_second": "0"})
    assert leak.auc == (0.5 if told == 0.5 else pytest.approx(told, abs=0.05))


def test_noise_as_large_as_a_copy_hides_some_of_it() -> None:
    """Two normal distributions one deviation apart: 0.760; times below 0 count as 0, and such pairs as ties: 0.750."""
    quiet = measure_leak("ksm", LARGE)
    loud = measure_leak("ksm", accesses(4000, 1000, 25_100))
    assert loud.auc == pytest.approx(0.750, abs=0.04)
    assert 0 < loud.bytes_per_hour < quiet.bytes_per_hour


def test_times_are_told_apart_where_least_is_mistaken() -> None:
    """Noise of a fifth of a copy's time: half of that is 2.5 deviations away, which 0.6 % of times are."""
    leak = measure_leak("ksm", accesses(512, 128, 5_000))
    assert leak.true_positives > 0.95
    assert leak.false_positives < 0.05


def test_the_same_seed_gives_the_same_and_another_another() -> None:
    attack = accesses(256, 32, 25_000)
    assert measure_leak("ksm", attack) == measure_leak("ksm", attack)
    assert measure_leak("ksm", attack).auc != measure_leak("ksm", accesses(256, 32, 25_000, 4)).auc


def test_more_memory_to_scan_means_less_leaked_in_an_hour() -> None:
    small, large = measure_leak("ksm", SMALL), measure_leak("ksm", accesses(1024, 32, 100))
    assert large.bytes_per_hour < small.bytes_per_hour / 2


def test_guesses_have_to_fit() -> None:
    with pytest.raises(UsageError, match="from 1 to 64"):
        Attack(pages=256, guesses=129)


def test_the_command_prints_tables(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["leak", "--memory", "1M", "--guesses", "16", "--noise", "0", "--trials", "0"]
    assert run_command(arguments) == 0
    channels, writes, times, _ = capsys.readouterr().out.split("\n\n")
    rows = [line.split() for line in channels.splitlines()[2:]]
    assert [row[:5] for row in rows] == [
        ["ksm", "writes", "1.000", "1.00", "1.00"],
        ["ksm", "reads", "0.500", "0.00", "1.00"],
        *([name, kind, "0.500", "0.00", "1.00"] for name in OTHERS for kind in ("writes", "reads")),
    ]
    assert rows[0][5:] == ["-", "+25.1", "µs", "for", "a", "right", "guess"]
    assert [line.split()[:4] for line in writes.splitlines()[2:]] == [
        ["ksm", "100.0%", "0.0%", "16"],
        ["ksm_domains", "0.0%", "0.0%", "0"],
        ["zero_only", "0.0%", "0.0%", "0"],
        ["vusion", "100.0%", "100.0%", "16"],
    ]
    own, copy = "0.0193", "25.1"
    assert times.splitlines()[0] == "Medians of the times of first accesses, µs"
    assert [line.split() for line in times.splitlines()[2:]] == [
        ["ksm", copy, own, own, own, "16"],
        ["ksm_domains", own, own, own, own, "0"],
        ["zero_only", own, own, own, own, "0"],
        ["vusion", copy, copy, copy, copy, "64"],
    ]


OTHERS = ("ksm_domains", "zero_only", "vusion")


def test_the_command_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["leak", "--policy", "ksm", "--memory", "1M", "--guesses", "16", "--trials", "0", "--json"]
    assert run_command(arguments) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema_version"] == 2
    attack = {"pages": 256, "guesses": 16, "noise": 100, "seed": 1, "together": False, "trials": 0}
    assert document["attack"] == attack
    assert document["policies"][0]["auc"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--policy", "ksn"], "there is no policy 'ksn'"),
        (["--guesses", "0"], "0 guesses do not fit"),
        (["--policy-set", "esx.salting=1"], "the name one of the policies"),
        (["--policy-set", "vusion.idel_rounds=1"], "did you mean 'idle_rounds'"),
        (["--policy-set", "vusion.idle_rounds"], "write NAME.KNOB=VALUE"),
        (["--policy-set", "vusion.idle_rounds=0"], "idle_rounds refuses '0'"),
        (["--memory", "1MB"], "ambiguous"),
        (["--noise", "7"], "has no unit"),
    ],
)
def test_what_cannot_be_meant(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert run_command(["leak", *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert len(captured.err.splitlines()) == 1
    assert captured.out == ""
