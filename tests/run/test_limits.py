"""A run of many guests has more files open than a process may by default."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.small_runs import SMALL, Keeping, Watching
from vmdedup.errors import EnvironmentLacksError
from vmdedup.run import run
from vmdedup.run.backend import base
from vmdedup.scenario.load import load_scenario


def test_descriptors_are_asked_for_before_anything_is_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """So that the processes that are started afterwards have the limit, too."""
    asked: list[tuple[int, str]] = []

    def refuse(count: int, what: str) -> None:
        asked.append((count, what))
        raise EnvironmentLacksError("not so many")

    monkeypatch.setattr(base, "need_descriptors", refuse)
    watching = Watching()
    (tmp_path / "many.toml").write_text(SMALL.replace("count = 3", "count = 400") + "[host]\nguests_per_worker = 1\n")
    scenario = load_scenario(tmp_path / "many.toml")
    with pytest.raises(EnvironmentLacksError, match="not so many"):
        run.run_scenario(scenario, watching, Keeping())
    assert asked == [(4 * 400, "400 guests")]
    assert watching.events == []
