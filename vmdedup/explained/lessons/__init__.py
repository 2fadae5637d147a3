"""Questions about KSM, each a script whose comments tell what to look at. A script's first line is its question."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from vmdedup.errors import UsageError
from vmdedup.explained.notes import Notes
from vmdedup.replay.script import Script, parse_text
from vmdedup.shown import suggest

ENDING = ".ksm"
MADE = "# Made by vmdedup explain --lessons"


def lessons() -> dict[str, str]:
    """The name of each, in order, and its question."""
    names = sorted(
        entry.name.removesuffix(ENDING) for entry in files(__name__).iterdir() if entry.name.endswith(ENDING)
    )
    return {name: Notes(_text(name)).title for name in names}


def lesson_script(name: str) -> Script:
    """One question's script. UsageError: there is none of that name."""
    known = lessons()
    if name not in known:
        raise UsageError(f"no lesson {name!r}; {suggest(name, known)}")
    return parse_text(_text(name), Path(), f"{name}{ENDING}")


def _text(name: str) -> str:
    return files(__name__).joinpath(f"{name}{ENDING}").read_text(encoding="utf-8")
