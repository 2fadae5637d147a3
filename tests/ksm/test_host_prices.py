"""The file of a host's prices: read whole or refused in one line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from vmdedup.errors import UsageError
from vmdedup.ksm.host_prices import VARIABLE, host_prices
from vmdedup.ksm.prices import BUILT_IN

GOOD = {"schema_version": 1, "prices_ns": {name: price + 1 for name, price in BUILT_IN.items()}}
PRICES = GOOD["prices_ns"]
assert isinstance(PRICES, dict)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "prices.json"
    monkeypatch.setenv(VARIABLE, str(path))
    return path


def written(path: Path, content: Any, mode: int = 0o644) -> None:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    path.chmod(mode)


def test_none_is_none(place: Path) -> None:
    assert host_prices() is None


def test_what_is_written_is_read(place: Path) -> None:
    written(place, GOOD)
    assert host_prices() == PRICES


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "Expecting value"),
        ("[" * 100_000, "larger than any list"),
        ("[" * 60_000, "RecursionError|maximum recursion"),
        ("[]", "schema_version is not 1"),
        (GOOD | {"schema_version": 2}, "schema_version is not 1"),
        (GOOD | {"prices_ns": PRICES | {"more": 1}}, "prices_ns has not just batch, visit"),
        (GOOD | {"prices_ns": {"visit": 1}}, "prices_ns has not just batch, visit"),
        (GOOD | {"prices_ns": PRICES | {"visit": -1}}, "prices_ns.visit is no price"),
        (GOOD | {"prices_ns": PRICES | {"visit": True}}, "prices_ns.visit is no price"),
        (GOOD | {"prices_ns": PRICES | {"merge": float("nan")}}, "prices_ns.merge is no price"),
        (GOOD | {"prices_ns": PRICES | {"merge": "9"}}, "prices_ns.merge is no price"),
        ('{"schema_version": 1, "prices_ns": {"visit": 1' + "0" * 5000 + "}}", "Exceeds the limit"),
    ],
)
def test_a_bad_one_is_one_line(place: Path, content: Any, complaint: str) -> None:
    written(place, content)
    with pytest.raises(UsageError, match=complaint) as caught:
        host_prices()
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("make it anew by `vmdedup calibrate`, or run with --prices built-in")


@pytest.mark.parametrize("mode", [0o666, 0o664])
def test_one_that_others_may_write_is_not_trusted(place: Path, mode: int) -> None:
    written(place, GOOD, mode)
    with pytest.raises(UsageError, match="others may write to it"):
        host_prices()


def test_a_pipe_is_not_waited_for(place: Path) -> None:
    os.mkfifo(place)
    with pytest.raises(UsageError, match="it is no file"):
        host_prices()
