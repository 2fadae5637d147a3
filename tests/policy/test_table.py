"""Policies by name, and from files: which are found, and what is said of those that are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmdedup.errors import UsageError
from vmdedup.policy.base import Policy
from vmdedup.policy.ksm import Ksm
from vmdedup.policy.table import POLICIES, load_policy, look_at, policy_label

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "patient.py"
TWO = """
from vmdedup.policy.none import NoPolicy
from vmdedup.policy.base import Policy

class First(NoPolicy):
    pass

class Second(NoPolicy):
    pass

class Unfinished(Policy):
    pass
"""


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A file with two policies, and what is none: imported ones, and one that lacks what every policy has."""
    path = tmp_path / "two.py"
    path.write_text(TWO)
    return path


def test_each_name_is_that_of_its_class() -> None:
    assert {name: load_policy(name).name for name in POLICIES} == {name: name for name in POLICIES}
    assert load_policy("ksm") is Ksm


def test_one_of_a_file(two: Path) -> None:
    patient = load_policy(str(EXAMPLE))
    assert (patient.name, issubclass(patient, Policy)) == ("patient", True)
    assert load_policy(f"{two}:Second").__name__ == "Second"


def test_what_is_no_file_and_what_defines_no_policy_is_said(two: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has to define one policy \(it defines First, Second\); name it as .*:CLASS"):
        load_policy(str(two))
    with pytest.raises(UsageError, match=r"it defines First, Second"):
        load_policy(f"{two}:Unfinished")
    with pytest.raises(UsageError, match=r"nobody\.py is no file; give one"):
        load_policy(str(tmp_path / "nobody.py"))
    two.write_text("import no_such_module")
    with pytest.raises(UsageError, match="cannot be loaded: ModuleNotFoundError: No module named 'no_such_module'"):
        load_policy(str(two))
    two.write_text("1")
    with pytest.raises(UsageError, match=r"it defines none"):
        load_policy(str(two))


def test_a_file_is_looked_at_without_being_run(two: Path, tmp_path: Path) -> None:
    two.write_text(TWO + "raise SystemExit")
    look_at(str(two))
    look_at(f"{two}:Second")
    with pytest.raises(UsageError, match=r"it defines First, Second, Unfinished\); name it as"):
        look_at(f"{two}:Third")
    two.write_text("x = 1")
    with pytest.raises(UsageError, match="it defines none"):
        look_at(str(two))
    for text in ("def", "x = " + "(" * 1000, "\0"):
        two.write_text(text)
        with pytest.raises(UsageError, match="is no Python"):
            look_at(str(two))
    with pytest.raises(UsageError, match="is no file"):
        look_at(str(tmp_path / "nobody.py"))


@pytest.mark.parametrize(
    ("name", "label"), [("ksm", "ksm"), ("a/mine.py", "mine"), ("a/mine.py:Second", "mine-Second"), ("x.pyc", "x.pyc")]
)
def test_what_a_policy_is_called_in_results(name: str, label: str) -> None:
    assert policy_label(name) == label
