"""What scenarios expect: how it is written, and what is made of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmdedup.errors import UsageError
from vmdedup.expect import FIGURES, Expectation, parse_expectation
from vmdedup.result.expected import expectations

ROWS = [
    {
        "time_s": 1.0,
        "allocated_pages": 1024,
        "used_pages": 768,
        "saved_pages": 256,
        "possible_pages": 512,
        "ksmd_cpu_s": 0.5,
    },
    {
        "time_s": 2.0,
        "allocated_pages": 1024,
        "used_pages": 512,
        "saved_pages": 512,
        "possible_pages": 512,
        "ksmd_cpu_s": 0.6,
    },
]


def held(that: str) -> tuple[float | None, bool]:
    (answer,) = expectations({"scenario": {"expect": [{"that": that}]}}, ROWS, 4096)
    return answer["found"], answer["holds"]


def test_words_are_read() -> None:
    assert parse_expectation("saved_percent > 40 after 60s") == Expectation("saved_percent", ">", 40.0, 60 * 10**9)
    assert parse_expectation("used<=1.5GiB") == Expectation("used", "<=", 1536.0, None)
    assert parse_expectation("ksmd_cpu < 10%").value == 10.0


@pytest.mark.parametrize(
    ("that", "found", "holds"),
    [
        ("saved_percent > 40", 50.0, True),
        ("saved_percent > 40 after 1s", 25.0, False),
        ("saved_percent >= 25 after 500ms", 25.0, True),
        ("saved_percent > 25 after 1s", 25.0, False),
        ("saved_percent > 40 after 1500ms", 50.0, True),
        ("saved_percent_of_possible >= 100%", 100.0, True),
        ("used < 2MiB", 2.0, False),
        ("used <= 2MiB", 2.0, True),
        ("ksmd_cpu < 30%", 30.0, False),
        ("ksmd_cpu < 50.5% after 1s", 50.0, True),
        ("saved > 0 after 3s", None, False),
    ],
)
def test_the_sample_decides(that: str, found: float | None, holds: bool) -> None:
    assert held(that) == (found, holds)


def test_a_share_of_nothing_does_not_hold() -> None:
    run = {"scenario": {"expect": [{"that": "saved_percent_of_possible < 100"}]}}
    (answer,) = expectations(run, [ROWS[0] | {"possible_pages": 0}], 4096)
    assert (answer["found"], answer["holds"]) == (None, False)
    assert expectations({"scenario": {}}, ROWS, 4096) == []


@pytest.mark.parametrize(
    "that", ["saved", "savd > 1", "used < 10%", "ksmd_cpu < 4MiB", "saved > 1 after 5", "used = 4MiB", 7]
)
def test_what_is_no_expectation_is_refused(that: object) -> None:
    with pytest.raises(UsageError):
        parse_expectation(that)


@given(
    st.sampled_from(sorted(FIGURES)), st.sampled_from(["<", "<=", ">", ">="]), st.integers(0, 500), st.integers(0, 500)
)
def test_comparisons_are_those_of_numbers(figure: str, comparison: str, value: int, found: int) -> None:
    unit = "MiB" if FIGURES[figure] == "MiB" else ""
    truth = {"<": found < value, "<=": found <= value, ">": found > value, ">=": found >= value}[comparison]
    assert parse_expectation(f"{figure} {comparison} {value}{unit}").holds(found) is truth
