"""What is said of a paper's figure beside ours: levels, directions, what was put in, spread over seeds, counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vmdedup.papers.bench.base import Bench, Experiment, Finding
from vmdedup.papers.bench.verdict import (
    DIRECTION,
    DISAGREES,
    JUDGED,
    LEVEL,
    OWN_FAILS,
    OWN_HOLDS,
    PUT_IN,
    UNPUBLISHED,
    VERDICTS,
    Judged,
    Row,
    counted,
    judge,
)
from vmdedup.result.published import Level, Published

READ_OFF = Level(4.0, 2.0)  # a fifth is less than what the plot can be read to


def verdict(paper: Level | None, *ours: float, holds: bool | None = None, **said: bool) -> str:
    """Of one row with so many seeds."""
    claim = "" if holds is None else "a < b"
    return Judged(tuple(Row("x", "%", paper, value, claim, holds, **said) for value in ours)).verdict


@pytest.mark.parametrize(
    ("paper", "ours", "holds", "said"),
    [
        (Level(50.0), 60.0, True, LEVEL),  # a fifth, exactly
        (Level(50.0), 40.0, None, LEVEL),
        (Level(50.0), 60.5, True, DIRECTION),  # 21 % off
        (Level(50.0), 39.5, True, DIRECTION),
        (Level(50.0), 60.5, None, DISAGREES),
        (Level(50.0), 50.0, False, DISAGREES),  # the level, but the other way round
        (Level(50.0), 90.0, False, DISAGREES),
        (READ_OFF, 6.0, None, LEVEL),
        (READ_OFF, 6.1, None, DISAGREES),
        (Level(4.0), 4.9, None, DISAGREES),  # the same out of a table
        (Level(61.0, 13.0), 48.0, None, LEVEL),  # a range from 50 to 72, read to 2
        (Level(61.0, 13.0), 47.9, None, DISAGREES),
        (Level(-10.0), -12.0, None, LEVEL),
        (Level(0.0), 0.1, None, DISAGREES),
        (None, 3.0, None, UNPUBLISHED),  # no level is claimed of what has none
        (None, 3.0, True, DIRECTION),
        (None, 3.0, False, DISAGREES),
    ],
)
def test_a_row_is_judged_by_a_fifth_or_by_what_a_plot_can_be_read_to(
    paper: Level | None, ours: float, holds: bool | None, said: str
) -> None:
    assert verdict(paper, ours, holds=holds) == said


@pytest.mark.parametrize("ours", [50.0, 90.0])
@pytest.mark.parametrize("holds", [True, False, None])
def test_what_was_put_in_says_nothing_whatever_comes_out(ours: float, holds: bool | None) -> None:
    assert verdict(Level(50.0), ours, holds=holds, put_in=True) == PUT_IN
    assert PUT_IN not in JUDGED


def test_claims_of_our_own_are_none_of_a_papers() -> None:
    assert verdict(None, 3.0, holds=True, own=True) == OWN_HOLDS
    assert verdict(None, 3.0, holds=False, own=True) == OWN_FAILS
    assert not {OWN_HOLDS, OWN_FAILS} & JUDGED


def test_the_mean_is_judged_and_the_spread_is_told() -> None:
    """By hand: 40, 61 and 70 have the mean 57; 57 is 7 from 50, whose fifth is 10."""
    row = Judged(tuple(Row("x", "%", Level(50.0), ours) for ours in (61.0, 40.0, 70.0)))
    found = row.document()
    assert {name: found[name] for name in ("ours", "low", "high", "seeds", "difference", "within", "verdict")} == {
        "ours": 57.0,
        "low": 40.0,
        "high": 70.0,
        "seeds": 3,
        "difference": 7.0,
        "within": 10.0,
        "verdict": LEVEL,
    }
    assert verdict(Level(50.0), 61.0, 60.0, 59.9) == DISAGREES  # two of three within, the mean is not


def test_an_ordering_that_fails_with_one_seed_does_not_hold() -> None:
    rows = tuple(Row("x", "%", Level(50.0), 50.0, "a < b", holds) for holds in (True, False, True))
    assert (Judged(rows).verdict, Judged(rows).holds) == (DISAGREES, False)
    assert Judged(rows).rule == "level within 10 % (a fifth); a < b (with 2 of 3 seeds)"
    assert Judged(rows[::2]).rule == "level within 10 % (a fifth); a < b"
    assert Judged((Row("x", "s", READ_OFF, 4.0),)).rule == "level within 2 s (reading or range)"
    assert Judged((Row("x", "s", None, 4.0),)).rule == "nothing claimed"


def test_seeds_that_found_other_figures_are_not_put_together() -> None:
    rows = [Row("x", "%", None, 1.0)], [Row("y", "%", None, 1.0)]
    with pytest.raises(ValueError, match="differ from seed to seed"):
        judge(rows)


def test_each_verdict_is_counted_apart() -> None:
    rows = [
        Row("a", "%", Level(50.0), 60.0),
        Row("b", "%", Level(50.0), 60.5, "up", True),
        Row("c", "%", Level(50.0), 60.5),
        Row("d", "%", Level(50.0), 50.0, put_in=True),
        Row("e", "%", Level(50.0), 51.0, "up", True, put_in=True),
        Row("f", "%", None, 1.0),
        Row("g", "%", None, 1.0, "up", True, own=True),
    ]
    found = counted(row.document() for row in judge([rows]))
    assert found == {LEVEL: 1, DIRECTION: 1, DISAGREES: 1, PUT_IN: 2, UNPUBLISHED: 1, OWN_HOLDS: 1}
    assert list(found) == [each for each in VERDICTS if each in found]


def test_an_experiment_runs_once_for_each_seed() -> None:
    """Its rows are put together, its remarks and curves are the first seed's, and who waits is told which it is."""
    told: list[str] = []

    def measure(bench: Bench, published: Published) -> Finding:
        bench.say("at it")
        return Finding([Row("seed", "", None, bench.seed)], f"seed {bench.seed}")

    mine = Experiment("mine", "Mine", "esx_identical", "Stood in.", measure)
    found = mine.run(replace(Bench(), say=told.append, seed=5), 3)
    (row,) = found["rows"]
    assert (row["ours"], row["low"], row["high"], row["seeds"]) == (6.0, 5.0, 7.0, 3)
    assert found["note"] == "seed 5"
    assert told == [f"seed {number} of 3, at it" for number in (1, 2, 3)]
    assert mine.run(Bench())["rows"][0]["seeds"] == 1
