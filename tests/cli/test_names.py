"""Where people look names up: --version, completion, man pages, how to cite, and what is in the package."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import typer

import vmdedup
from vmdedup.cli import run_command
from vmdedup.cli.app import COMMANDS, app
from vmdedup.cli.manual import pages

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("arguments", [["--version", "--json"], ["--json", "--version"]])
def test_the_version_is_a_document_that_says_on_what_it_runs(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(arguments) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["vmdedup"] == vmdedup.__version__
    assert told["python"] == platform.python_version()
    assert told["packages"]["numba"] == version("numba")
    assert run_command(["--version"]) == 0
    assert capsys.readouterr().out == f"vmdedup {vmdedup.__version__}\n"


def test_json_alone_means_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--json", "doctor"]) == 2
    assert capsys.readouterr().err == (
        "vmdedup: --json goes after the command, or with --version; see vmdedup --help\n"
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_and_options(shell: str) -> None:
    assert completed(shell, "vmdedup se") == {"serve"}
    assert completed(shell, "vmdedup policy ") >= {"list", "show", "check"}
    assert completed(shell, "vmdedup exec --sp") == {"--speed"}


def completed(shell: str, typed: str) -> set[str]:
    """What a shell is told, by the protocol of the script that --show-completion prints."""
    variables = {"_VMDEDUP_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": typed, "COMP_WORDS": typed}
    variables |= {"COMP_CWORD": str(len(typed.split(" ")) - 1), "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    script = "import sys; sys.argv = ['vmdedup']; from vmdedup.cli import main; main()"
    command = [sys.executable, "-P", "-c", script]
    said = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True).stdout
    return set(re.findall(r'"([\w-]+)":"' if shell == "zsh" else r"^([\w-]+)", said, re.M))


# Man pages


def walk(command: Any, path: str) -> dict[str, Any]:
    """All commands that are not hidden, by their words."""
    found = {path: command}
    for name, inner in getattr(command, "commands", {}).items():
        if not inner.hidden:
            found |= walk(inner, f"{path} {name}")
    return found


def test_each_command_has_a_page_with_each_option() -> None:
    commands, made = walk(typer.main.get_command(app), "vmdedup"), dict(pages(typer.main.get_command(app)))
    assert len(commands) > len(COMMANDS) > 15
    assert set(made) == {f"{path.replace(' ', '-')}.1" for path in commands}
    for path, command in commands.items():
        text = made[f"{path.replace(' ', '-')}.1"].replace("\\-", "-")
        for parameter in command.params:
            if parameter.param_type_name == "option" and not parameter.hidden:
                assert all(f"\\fB{name}\\fR" in text for name in parameter.opts), (path, parameter.opts)
        if "\b\n" in (command.help or ""):
            assert ".SH EXAMPLES" in text, path


def test_man_shows_them_without_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if shutil.which("man") is None or shutil.which("groff") is None:
        pytest.skip("man and groff are not installed (Debian: man-db, groff-base)")
    for _ in range(2):  # its own pages it may replace
        assert run_command(["man", str(tmp_path)]) == 0
    assert "man pages are in" in capsys.readouterr().out
    for name in ("vmdedup.1", "vmdedup-exec.1", "vmdedup-live-run.1"):
        command = ["man", "--warnings", "-l", str(tmp_path / "man1" / name)]
        done = subprocess.run(command, env={**os.environ, "MANWIDTH": "80"}, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert "EXIT STATUS" in done.stdout


def test_a_page_of_somebody_else_s_stays(tmp_path: Path) -> None:
    (tmp_path / "man1").mkdir()
    (tmp_path / "man1/vmdedup.1").write_text("mine")
    assert run_command(["man", str(tmp_path)]) == 2
    assert (tmp_path / "man1/vmdedup.1").read_text() == "mine"


def test_how_to_cite_names_this_version() -> None:
    text = (ROOT / "CITATION.cff").read_text()
    assert re.findall(r"^version: (.*)$", text, re.M) == [vmdedup.__version__]
    assert re.findall(r"^cff-version: (.*)$", text, re.M) == ["1.2.0"]
    assert {"title", "authors", "message", "license"} <= set(re.findall(r"^([a-z-]+):", text, re.M))


# The package


@pytest.mark.slow
@pytest.mark.skipif(
    any(find_spec(name) is None for name in ("build", "hatchling", "twine")), reason="needs build, hatchling and twine"
)
def test_what_is_built_is_whole_and_runs(tmp_path: Path) -> None:
    run("-m", "build", "--no-isolation", "--outdir", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    (sdist,) = tmp_path.glob("*.tar.gz")
    run("-m", "twine", "check", "--strict", wheel, sdist)
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "there")
    there = {str(path.relative_to(ROOT)) for path in (ROOT / "vmdedup").rglob("*") if path.suffix not in ("", ".pyc")}
    assert there <= names
    script = "import vmdedup, sys; from vmdedup.cli import run_command; sys.exit(run_command(['scenario', 'list']))"
    done = run("-P", "-c", script, variables={"PYTHONPATH": str(tmp_path / "there")})
    assert "identical" in done


def run(*arguments: object, variables: dict[str, str] | None = None) -> str:
    """Python's answer."""
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, env={**os.environ, **(variables or {})}, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
