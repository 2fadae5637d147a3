"""Exercises: points for what a policy saves, none for one that changes contents, and clear words for bad exercises."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vmdedup.cli import run_command
from vmdedup.errors import UsageError
from vmdedup.grading.exercise import exercises
from vmdedup.grading.grade import grade
from vmdedup.policy.base import Policy
from vmdedup.policy.table import load_policy

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "docs" / "examples"
VANDAL = Path(__file__).parent.parent / "own_policies" / "vandal.py"


def got(policy: str, folder: Path = EXAMPLES / "grade") -> dict[str, int]:
    """Points by exercise."""
    return {each.exercise.name: each.got for each in grade(load_policy(policy), exercises(folder))}


@pytest.mark.parametrize("policy", ["ksm", "ideal", str(EXAMPLES / "patient.py")])
def test_who_finds_equal_pages_gets_all(policy: str) -> None:
    assert got(policy) == {"changing": 3, "pairs": 4}


def test_who_does_nothing_gets_nothing() -> None:
    assert got("none") == {"changing": 0, "pairs": 0}


def test_saved_and_scanned_are_counted(tmp_path: Path) -> None:
    """Of six equal pages one frame is left; ksmd looks at each once a pass."""
    rules = "".join(f"# points 1: {rule}\n" for rule in ("saved == 5", "scanned == 18", "saved >= 6", "saved <= 4"))
    (tmp_path / "six.ksm").write_text(f"{rules}vm a 6\nfill a 0..5 seed 3\npass 3\n")
    (found,) = grade(load_policy("ksm"), exercises(tmp_path))
    assert [holds for _, _, holds in found.rules] == [True, True, False, False]
    assert found.got == 2


class Breaking(load_policy("none")):  # type: ignore[misc]
    """Raises."""

    name = "breaking"

    def scan(self, pages: int) -> int:
        """Always."""
        raise RuntimeError("no idea")


def test_what_a_policy_raises_costs_it_that_exercise() -> None:
    found = list(grade(Breaking, exercises(EXAMPLES / "grade")))
    assert {each.failure for each in found} == {"RuntimeError: no idea"}
    assert issubclass(Breaking, Policy)


def test_who_changes_contents_gets_nothing() -> None:
    for each in grade(load_policy(str(VANDAL)), exercises(EXAMPLES / "grade")):
        assert (each.got, each.failure is not None) == (0, True)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("vm a 1\n", "gives no points"),
        ("# points 3: saved > 4\nvm a 1\n", r"bad\.ksm:1: write '# points 3: saved >= 4'"),
        ("# points many\nvm a 1\n", r"bad\.ksm:1"),
        (None, "has no exercises"),
    ],
)
def test_a_bad_exercise_is_one_line(text: str | None, complaint: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "bad.ksm").write_text(text)
    with pytest.raises(UsageError, match=complaint):
        exercises(tmp_path)


def test_the_command_shows_points_and_hides_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["policy", "check", "ksm", "--grade", str(EXAMPLES / "grade")]) == 0
    shown = capsys.readouterr().out
    assert shown.endswith("ksm: 7 of 7 points\n")
    assert "fill" not in shown
    assert run_command(["policy", "check", "none", "--grade", str(EXAMPLES / "grade"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["got"], told["points"]) == (0, 7)
