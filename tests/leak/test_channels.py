"""Room left and pace of merging: what is planted is found, what is not is not, and chance is never taken for it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vmdedup.cli import run_command
from vmdedup.cli.leaked import render
from vmdedup.errors import BrokeDownError
from vmdedup.leak.attack import Attack, Channel
from vmdedup.leak.channels import measure_channels, measure_pace, measure_room, pace_of_merging, room_left
from vmdedup.leak.estimate import CHANCE, bits_of, by_chance, concordance, guess_each, judge
from vmdedup.leak.meter import measure_leak
from vmdedup.policy.table import load_policy

SMALL = Attack(pages=256, guesses=64, seed=3)
DOCS = Path(__file__).parents[2] / "docs"
SLACK = 64  # a quarter of the victim's pages
NO_LIMIT = {"host_pages_per_second": "0", "vm_pages_per_second": "0"}


def numbers(*values: float) -> np.ndarray:
    """float64[n]."""
    return np.array(values, np.float64)


# What was seen, judged


def test_concordance_of_small_sets_by_hand() -> None:
    assert concordance(numbers(1, 2, 3), numbers(5, 6, 9)) == 1
    assert concordance(numbers(1, 2, 3), numbers(9, 6, 5)) == 0
    assert concordance(numbers(1, 2, 3), numbers(7, 7, 7)) == 0.5
    assert concordance(numbers(4, 4, 4), numbers(1, 2, 3)) == 0.5
    assert concordance(numbers(0, 1, 1), numbers(2, 1, 3)) == 0.5  # the pair of equal secrets does not count
    assert concordance(numbers(1, 2, 3), numbers(5, 6, 6)) == pytest.approx(2.5 / 3)


def test_chance_of_a_perfect_order() -> None:
    """Of the n! orders two are as good: 2 of 24, of 120, of 40,320."""
    assert by_chance(numbers(1, 2, 3, 4), numbers(1, 2, 3, 4)) == pytest.approx(2 / 24, rel=0.15)
    assert by_chance(numbers(1, 2, 3, 4, 5), numbers(5, 4, 3, 2, 1)) == pytest.approx(2 / 120, rel=0.25)
    assert by_chance(numbers(*range(8)), numbers(*range(8))) < 0.001
    assert by_chance(numbers(1, 2, 3), numbers(1, 1, 1)) == 1


def test_what_chance_shows_is_not_told() -> None:
    """100 channels that show noise: about one in twenty is beyond one in twenty, one in a thousand beyond that."""
    random = np.random.default_rng(5)
    chances = [by_chance(numbers(*random.integers(0, 65, 8)), random.random(8)) for _ in range(100)]
    assert 1 <= sum(chance < 0.05 for chance in chances) <= 12  # 5; standard deviation 2.2
    assert sum(chance < CHANCE for chance in chances) <= 1


def test_a_guess_is_of_what_the_other_trials_say() -> None:
    secrets = numbers(1, 4, 2, 9)
    assert guess_each(secrets, 100 + 3 * secrets).tolist() == secrets.tolist()
    assert guess_each(secrets, 100 - 3 * secrets).tolist() == secrets.tolist()
    assert guess_each(secrets, numbers(1, 1, 1, 1)).tolist() == [5, 4, 5, 2]  # means of the others


def test_bits_of_an_error() -> None:
    assert bits_of(64, 0) == 6
    assert bits_of(64, 64 / 12**0.5) == pytest.approx(0)  # as far off as if one had not looked
    assert bits_of(64, 16 / 12**0.5) == pytest.approx(2)
    assert bits_of(64, 1000) == 0


# Room left


@pytest.mark.parametrize("name", ["ksm", "vusion"])
def test_room_is_made_by_each_right_guess(name: str) -> None:
    """VUsion hides which access was to a merged page, and saves memory: that shows."""
    assert [room_left(name, SMALL, right) - SLACK for right in (0, 1, 37, 64)] == [0, 1, 37, 64]


@pytest.mark.parametrize("name", ["none", "zero_only", "ksm_domains"])
def test_no_room_is_made_where_nothing_of_others_is_shared(name: str) -> None:
    assert {room_left(name, SMALL, right) for right in (0, 1, 37, 64)} == {SLACK}


def test_room_within_a_domain() -> None:
    together = replace(SMALL, together=True)
    assert room_left("ksm_domains", together, 37) - SLACK == 37
    assert room_left("ksm_domains", together, 37, 0, {"scope": "2"}) == SLACK


@pytest.mark.parametrize(("salting", "told"), [("0", 37), ("1", 0), ("2", 0)])
def test_salts_leave_no_room(salting: str, told: int) -> None:
    found = room_left("esx", SMALL, 37, 0, {**NO_LIMIT, "salting": salting}) - SLACK
    assert found == pytest.approx(told, abs=2)  # by chance alone it does not come by some pages
    assert (found > 0) == (told > 0)


@pytest.mark.parametrize("name", ["ksm", "vusion"])
def test_how_many_guesses_were_right_is_found_to_the_last(name: str) -> None:
    room = measure_room(name, SMALL, {})
    assert len(set(room.secrets)) > 10
    assert room.guessed == room.secrets
    assert [seen - secret for seen, secret in zip(room.seen, room.secrets, strict=True)] == [SLACK] * 16
    assert (room.auc, room.error) == (1, 0)
    assert room.seen_per_secret == pytest.approx(1)
    assert room.bits == room.bits_possible == pytest.approx(np.log2(65))


# Pace of merging


def test_the_time_until_ones_own_pair_is_merged_tells_the_victims_size() -> None:
    """Two rounds, 100 pages every 20 ms: 400 µs for each page of the victim's, and what looking at it costs."""
    attack = Attack(pages=2048, guesses=64, seed=3)
    for name in ("ksm", "ksm_domains"):
        small, middle, large = (pace_of_merging(name, attack, size) for size in (256, 1024, 2048))
        assert 400e-6 * 0.95 < (middle - small) / 768 < 400e-6 * 1.1
        assert 400e-6 * 0.95 < (large - middle) / 1024 < 400e-6 * 1.1


@pytest.mark.parametrize("name", ["ksm", "ksm_domains", "vusion", "zero_only"])
def test_the_victims_size_is_found(name: str) -> None:
    """To within a batch of 100 pages, in a round of which there are one or two until then."""
    pace = measure_pace(name, Attack(pages=1024, guesses=64, seed=3), {})
    assert min(pace.secrets) < 400 < 800 < max(pace.secrets)
    assert pace.guessed is not None
    assert max(abs(guess - size) for guess, size in zip(pace.guessed, pace.secrets, strict=True)) <= 100
    assert pace.auc > 0.9
    assert pace.bits > 2.5


def test_a_slower_scanner_is_as_telling() -> None:
    """What is seen goes with the schedule; what is told does not."""
    attack = Attack(pages=1024, guesses=64, seed=3)
    usual, slow = (measure_pace("ksm_domains", attack, {"sleep_millisecs": ms}) for ms in ("20", "200"))
    assert usual.seen_per_secret is not None
    assert slow.seen_per_secret == pytest.approx(10 * usual.seen_per_secret, rel=0.05)
    assert slow.bits == pytest.approx(usual.bits, abs=0.5)


# Nothing


def nothing(channel: Channel) -> bool:
    """Whether a channel says of itself that it told nothing."""
    return channel.bits == 0 and channel.error is None and channel.seen_per_secret is None and channel.guessed is None


def test_no_policy_tells_nothing_on_any_channel() -> None:
    found = measure_leak("none", replace(SMALL, noise=0, guesses=32))
    assert (found.auc, found.read_auc, found.bits_per_guess, found.read_bits_per_guess) == (0.5, 0.5, 0, 0)
    assert [channel.name for channel in found.channels] == ["room", "pace"]
    for channel in found.channels:
        assert nothing(channel)
        assert (channel.auc, channel.chance, len(set(channel.seen))) == (0.5, 1, 1)


@pytest.mark.parametrize("name", ["ksm_domains", "zero_only"])
def test_room_tells_nothing_of_another_domain(name: str) -> None:
    room = measure_room(name, SMALL, {})
    assert nothing(room)
    assert (room.auc, room.chance) == (0.5, 1)


@pytest.mark.parametrize("measure", [measure_room, measure_pace])
def test_secrets_that_are_not_those_of_the_trials_give_no_signal(measure: object) -> None:
    told = measure("ksm", SMALL, {})  # type: ignore[operator]
    assert told.bits > 1
    random = np.random.default_rng(8)
    for _ in range(10):
        other = random.permutation(told.secrets).tolist()
        assert nothing(judge("room", "right guesses", "pages", other, told.seen, 65))


def test_the_same_seed_gives_the_same_and_another_another() -> None:
    first = measure_room("ksm", SMALL, {})
    assert measure_room("ksm", SMALL, {}) == first
    assert measure_room("ksm", replace(SMALL, seed=4), {}).secrets != first.secrets


# The command


def test_a_policy_that_breaks_down_is_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "broken.py"
    text = "from vmdedup.policy.none import NoPolicy\nclass Broken(NoPolicy):\n    name = 'broken'\n"
    path.write_text(f"{text}    def scan(self, pages):\n        return pages // 0\n")
    with pytest.raises(BrokeDownError, match=r"ZeroDivisionError: .*broken.py:5"):
        measure_leak(str(path), SMALL)
    assert run_command(["leak", "--policy", str(path), "--memory", "1M", "--guesses", "16"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"vmdedup: policy {path} broke down: ZeroDivisionError: ")


def test_a_row_for_each_channel_with_units_and_a_glossary() -> None:
    quick = replace(SMALL, noise=0, guesses=16)
    text = render([measure_leak("vusion", quick), measure_leak("none", quick)])
    title, head, *lines = text.splitlines()
    assert title == "What an attacker learns of another guest, by channel (room and pace tried 16 times each)"
    assert head.split() == ["policy", "channel", "AUC", "bits", "of", "off", "by", "what", "shows", "it"]
    rows = [" ".join(line.split()) for line in lines[:8]]
    assert rows[:3] == [
        "vusion writes 0.500 0.00 1.00 - -",
        "vusion reads 0.500 0.00 1.00 - -",
        "vusion room left 1.000 4.09 4.09 0 right guesses +1 pages for each right guess",
    ]
    assert rows[3].startswith("vusion pace of merging 1.000 ")
    assert rows[3].endswith(" µs for each page of the victim's")
    assert rows[6:] == ["none room left 0.500 0.00 4.09 - -", "none pace of merging 0.500 0.00 7.81 - -"]
    words = {line.split("  ")[0] for line in text.split("\n\n")[-1].splitlines()}
    assert words >= {"channel", "AUC", "bits", "off by", "merged", "copies"}


def test_the_document_has_each_channels_trials(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["leak", "--policy", "ksm,none", "--memory", "1M", "--guesses", "16", "--trials", "9", "--seed", "7"]
    assert run_command([*arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema_version"] == 2
    assert document["attack"]["trials"] == 9
    ksm, none = document["policies"]
    assert ksm["read_bits_per_guess"] == 0
    room, pace = ksm["channels"]
    assert (room["name"], room["secret_unit"], room["seen_unit"]) == ("room", "right guesses", "pages")
    assert (pace["name"], pace["secret_unit"], pace["seen_unit"]) == ("pace", "pages", "s")
    assert room["guessed"] == room["secrets"]
    assert len(room["secrets"]) == len(pace["seen"]) == 9
    assert set(none["channels"][0]) == set(room)
    assert none["channels"][0]["guessed"] is none["channels"][1]["error"] is None
    assert run_command([*arguments[:-4], "--trials", "0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["policies"][0]["channels"] == []


@pytest.mark.parametrize("trials", ["7", "257", "-1"])
def test_trials_that_could_not_be_judged(trials: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["leak", "--trials", trials]) == 2
    assert "give from 8 to 256, or 0 for none" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vusion", "ksm_domains", "zero_only"])
def test_what_a_policy_says_of_itself_is_what_the_meter_says(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As `vmdedup leak --policy NAME` has it, and docs/policies.md."""
    said = load_policy(name).leaks
    room, pace = measure_channels(name, Attack(), {})
    assert f"(8.01 of {room.bits_possible:.2f} bits)" in said if room.bits else "nor by room left" in said
    assert room.bits in (0, room.bits_possible)
    assert f"({pace.bits:.2f} of {pace.bits_possible:.2f} bits)" in said
    assert run_command(["policy", "show", name]) == 0
    assert f"Leaks: {said}" in capsys.readouterr().out.splitlines()
    rows = [line for line in (DOCS / "policies.md").read_text().splitlines() if line.startswith(f"| {name} | ")]
    assert [f"{channel.auc:.3f} | {channel.bits:.2f} | {channel.bits_possible:.2f}" for channel in (room, pace)] == [
        " | ".join(row.split(" | ")[2:5]) for row in rows[2:]
    ]
