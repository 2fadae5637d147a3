"""What is said of ksmd's decisions, by scripts whose every decision is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vmdedup.errors import UsageError
from vmdedup.explained import story as stories
from vmdedup.explained.document import document
from vmdedup.explained.lessons import lesson_script, lessons
from vmdedup.explained.names import letters
from vmdedup.explained.story import Story
from vmdedup.replay.emulated import emulated
from vmdedup.replay.play import play
from vmdedup.replay.script import parse, parse_text

GOLDEN = Path(__file__).parent.parent / "golden"


def told(text: str, kernel: str | None = None) -> list[dict[str, Any]]:
    """The steps of a script."""
    steps: list[dict[str, Any]] = document(Story(parse_text(text, Path()), kernel))["steps"]
    return steps


def said(text: str, kernel: str | None = None) -> list[str]:
    """What is said of visits."""
    return [step["says"] for step in told(text, kernel) if "page" in step]


def test_the_way_of_two_equal_pages() -> None:
    assert said("vm a 1\nfill a 0 key 5\nvm b 1\nfill b 0 key 5\npass 3\n") == [
        "page 1 a:0: new full scan → first checksum → next time",
        "page 2 b:0: first checksum → next time",
        "page 3 a:0: new full scan → checksum as before → stable: none → unstable: none → put there",
        "page 4 b:0: checksum as before → stable: none → unstable: equal to a:0 → merged → new stable node",
        "page 5 a:0: new full scan → merged already",
        "page 6 b:0: merged already",
    ]


def test_a_third_page_joins_and_a_changed_one_waits() -> None:
    steps = said("vm a 3\nfill a 0..1 key 5\npass 2\nfill a 2 key 5\npass\npoke a 2 9 1\npass\npass\n")
    assert steps[6] == "page 7 a:2: first checksum → next time"
    assert steps[9] == "page 10 a:2: checksum differs → next time"
    again = said("vm a 3\nfill a 0..2 key 5\npass 2\n")
    assert again[-1] == "page 6 a:2: checksum as before → stable: equal to A → joins A"


def test_older_versions_look_into_the_stable_tree_first() -> None:
    text = "vm a 2\nfill a 0..1 key 5\npass 2\nvm b 1\nfill b 0 key 5\npass\n"
    assert said(text, "6.1")[-1] == "page 7 b:0: stable: equal to A → joins A"
    assert said(text)[-1] == "page 7 b:0: first checksum → next time"
    assert said(text, "6.1")[0] == "page 1 a:0: new full scan → stable: none → first checksum → next time"


def test_the_unstable_tree_is_forgotten_and_changed_pages_are_seen_in_it() -> None:
    steps = told("vm a 2\nfill a 0..1 key 5+\npass 2\npoke a 0 0 200\npass\n")
    begins = [step["events"][0][1] for step in steps if step.get("events", [[""]])[0][0] == "begin"]
    assert "with it all 2 pages in it" in begins[2]


def test_zero_pages_copies_and_smart_scan() -> None:
    steps = said("set use_zero_pages 1\nvm a 1\nfill a 0 zero\npass 2\n")
    assert steps[-1] == "page 2 a:0: new full scan → checksum as before → empty → zero page"
    copied = told("vm a 2\nfill a 0..1 key 5\npass 2\npoke a 0 9 1\n")[-1]
    assert copied["events"][0][1] == "a:0 shared the merged page A: it has a copy of its own now"
    skipped = told("set smart_scan 1\nvm a 1\nfill a 0 key 5\npass 6\n")
    assert any(event[0] == "skip" for step in skipped for event in step.get("events", ()))


def test_chains_and_stale_nodes() -> None:
    steps = said("set max_page_sharing 2\nvm a 4\nfill a 0..3 key 5\npass 2\ndiscard a 0..1\npass\n")
    assert "page 7 a:2: checksum as before → stable: A takes no more → unstable: none → put there" in steps
    assert steps[7].endswith("unstable: equal to a:2 → merged → new stable node, in a chain")


@pytest.mark.parametrize("name", ["first-steps", "smart-1", "fork-exit-2"])
def test_it_prints_what_replay_prints(name: str) -> None:
    """And so it decides what ksmd decides."""
    script = parse(GOLDEN / f"{name}.ksm")
    printed = [
        {"line": step["line"], **step["printed"]} for step in document(Story(script))["steps"] if "printed" in step
    ]
    with emulated(script, None) as machine:
        assert printed == [json.loads(line) for line in play(script, machine)]


@pytest.mark.parametrize("name", lessons())
def test_lessons_are_told_whole(name: str) -> None:
    lesson = document(Story(lesson_script(name)))
    assert lesson["title"].endswith("?")
    assert sum("note" in step for step in lesson["steps"]) > 2


def test_two_trees_finds_its_way_past_a_page_that_has_changed() -> None:
    """As the lesson says."""
    lesson = document(Story(lesson_script("two-trees")))
    assert any("unstable: equal to a:0" in step["says"] for step in lesson["steps"])


def test_too_long_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stories, "MOST_STEPS", 5)
    with pytest.raises(UsageError, match="more than 5 steps"):
        told("vm a 9\nfill a 0..8 seed 1\npass\n")


def test_letters() -> None:
    assert [letters(n) for n in (0, 25, 26, 27, 701, 702)] == ["A", "Z", "AA", "AB", "ZZ", "AAA"]
