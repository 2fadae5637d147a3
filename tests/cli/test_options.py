"""Options that are the same in all commands."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import typer

from vmdedup.cli import run_command
from vmdedup.cli.app import app


def options(command: object, path: str = "vmdedup") -> Iterator[tuple[str, list[str]]]:
    """(command's name, all names of the option) for every option of every command, hidden ones too."""
    for parameter in getattr(command, "params", []):
        if getattr(parameter, "param_type_name", "") == "option":
            yield path, [*parameter.opts, *parameter.secondary_opts]
    for name, inner in getattr(command, "commands", {}).items():
        yield from options(inner, f"{path} {name}")


def test_every_output_has_its_o() -> None:
    found = {path: names for path, names in options(typer.main.get_command(app)) if "--output" in names}
    assert len(found) >= 5
    assert {path for path, names in found.items() if "-o" not in names} == set()


def test_what_the_ansible_role_calls_is_not_under_a_name_that_people_look_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_command(["live", "measure", "x", "-o", "y"]) == 2
    assert "No such command 'measure'" in capsys.readouterr().err
    assert run_command(["live", "--help"]) == 0
    assert "measure-plan" not in capsys.readouterr().out
    assert run_command(["live", "measure-plan", "--help"]) == 0
