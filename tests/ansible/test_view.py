"""What a terminal shows of a run of Ansible."""

from __future__ import annotations

import io

from rich.console import Console

from vmdedup.report.tasks import TaskView

LINES = [
    "PLAY Define and start the guests",
    "TASK guests : Validating arguments against arg spec 'main'",
    "TASK guests : Start it",
    "  changed: vmdedup-s-a",
    "TASK guests : Wait until it is up",
    "  failed: vmdedup-s-a: too late",
    "RECAP vmdedup-s-a: ok 1",
]


def shown(terminal: bool, wanted: bool = True) -> str:
    """All that is written for these lines."""
    console = Console(file=io.StringIO(), force_terminal=terminal, no_color=True, width=100)
    with TaskView(console, wanted) as view:
        for line in LINES:
            view.heard(line)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text


def test_tasks_are_shown_when_they_are_done_with_their_seconds() -> None:
    text = shown(terminal=True)
    assert "0.0 s  guests : Start it" in text
    assert "failed: vmdedup-s-a: too late" in text
    assert "Validating" not in "".join(line for line in text.splitlines() if " s  " in line)


def test_nothing_is_shown_where_there_is_no_terminal_or_no_wish() -> None:
    assert shown(terminal=False) == ""
    assert shown(terminal=True, wanted=False) == ""
