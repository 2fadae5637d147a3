"""Systems other than Linux: one line for every command, and for Python."""

from __future__ import annotations

import os

import pytest

from vmdedup.cli import run_command
from vmdedup.cli.app import COMMANDS
from vmdedup.errors import EnvironmentLacksError
from vmdedup.host.memory import Host

SAID = "vmdedup runs on Linux only; use a Linux machine, a virtual one or a container"


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_says_linux_only_in_one_line(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command([command, "x"]) == 4
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"vmdedup: {SAID}\n")


def test_help_is_there_anywhere(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--version"]) == 0
    assert run_command(["doctor", "--help"]) == 0
    assert "Usage" in capsys.readouterr().out


def test_from_python_it_is_an_error_of_ours() -> None:
    with pytest.raises(EnvironmentLacksError, match="Linux only"):
        Host.create(16, mms=1)
