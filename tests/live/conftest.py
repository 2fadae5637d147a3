"""Fixtures of several files here."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmdedup.ours import folder


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this process's records are: what a test leaves on purpose is not for the next run to put back."""
    path = folder.private(tmp_path / "records")
    monkeypatch.setattr(folder, "runtime", lambda: path)
    return path
