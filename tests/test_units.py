"""Sizes, durations and shares as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmdedup.errors import UsageError
from vmdedup.units import (
    exact_duration,
    format_duration,
    format_size,
    mib,
    parse_duration,
    parse_share,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (4096, 4096),
        ("4096", 4096),
        ("0", 0),
        ("512B", 512),
        ("64KiB", 65536),
        ("128MiB", 128 << 20),
        (" 128 MiB ", 128 << 20),
        ("128M", 128 << 20),
        ("4G", 4 << 30),
        ("1.5GiB", 3 << 29),
        ("2TiB", 2 << 40),
    ],
)
def test_sizes(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("-1MiB", "negative"),
        (-4096, "negative"),
        ("128MX", "unknown unit 'MX'"),
        ("128MB", "write MiB"),
        ("1.0001B", "whole number of bytes"),
        ("lots", "is not a number"),
        ("", "is not a number"),
        (True, "is not a number"),
        ("1e9", "is not a number"),
    ],
)
def test_sizes_refused(text: str | int, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as caught:
        parse_size(text)
    assert "write" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("2s", 2_000_000_000),
        ("500ms", 500_000_000),
        ("5min", 300_000_000_000),
        ("5m", 300_000_000_000),
        ("1.5h", 5_400_000_000_000),
        ("10us", 10_000),
        ("250ns", 250),
        (0, 0),
        ("0", 0),
        ("0s", 0),
    ],
)
def test_durations(text: str | int, nanoseconds: int) -> None:
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize("text", ["-1s", "10", 10, 1.5, "10 parsecs", "", True])
def test_durations_refused(text: str | int | float) -> None:
    with pytest.raises(UsageError, match=r"duration .*; write a duration like"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "share"), [("25%", 0.25), (0.25, 0.25), ("0.5", 0.5), (1, 1.0), (0, 0.0), ("100 %", 1.0)]
)
def test_shares(text: str | float, share: float) -> None:
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["101%", -0.1, 2, "half", "20 percent", True])
def test_shares_refused(text: str | float) -> None:
    with pytest.raises(UsageError, match=r"share .*; write a share like 25% or 0.25"):
        parse_share(text)


@given(st.integers(0, 1 << 50))
@settings(derandomize=True, max_examples=200)
def test_a_whole_size_comes_back(size: int) -> None:
    assert parse_size(size) == size
    assert parse_size(f"{size}") == size


@given(st.integers(0, 999), st.sampled_from(["B", "KiB", "MiB", "GiB", "TiB"]))
@settings(derandomize=True, max_examples=200)
def test_what_is_written_can_be_read(number: int, unit: str) -> None:
    size = parse_size(f"{number}{unit}")
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (0, "0s"),
        (250, "250ns"),
        (10_000, "10us"),
        (250_000_000, "250ms"),
        (1_500_000_000, "1.5s"),
        (59_000_000_000, "59s"),
        (125_000_000_000, "2min 5s"),
        (300_000_000_000, "5min"),
        (5_400_000_000_000, "1h 30min"),
        (7_200_000_000_000, "2h"),
    ],
)
def test_durations_written(duration: int, text: str) -> None:
    assert format_duration(duration) == text


@given(st.integers(0, 1 << 60))
@settings(derandomize=True, max_examples=200)
def test_an_exact_duration_comes_back(duration: int) -> None:
    assert parse_duration(exact_duration(duration)) == duration


def test_sizes_written() -> None:
    assert [format_size(n) for n in (0, 512, 65536, 128 << 20, 3 << 29, 1023 << 20)] == [
        "0B",
        "512B",
        "64KiB",
        "128MiB",
        "1.5GiB",
        "1023MiB",
    ]
    assert mib(3 << 19) == 1.5
