"""Small runs of everything built in give the very rows that they gave when they were recorded."""

from __future__ import annotations

import pytest

from golden_runs import differences, names, outcome, recorded

pytestmark = pytest.mark.compiled


def test_every_golden_run_is_recorded() -> None:
    assert list(recorded()) == names()


@pytest.mark.parametrize("name", names())
def test_rows_are_those_recorded(name: str) -> None:
    """Where they should differ: python tests/golden_runs.py --renew records them, and says what has changed."""
    assert not list(differences(recorded()[name], outcome(name)))
