"""vmdedup explain: a page, a terminal, a document, lessons."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vmdedup.cli import run_command

SCRIPT = "# What is this?\nvm a 2\nfill a 0..1 key 1\npass 2\ncounters\n"
TEACH = Path(__file__).parent.parent.parent / "docs" / "teach"


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "script.ksm"
    path.write_text(SCRIPT)
    return str(path)


def test_a_page_is_written_and_nothing_of_others_replaced(
    script: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    assert run_command(["explain", script, "-o", str(page)]) == 0
    assert run_command(["explain", script, "-o", str(page)]) == 0
    assert "What is this?" in page.read_text()
    page.write_text("mine")
    assert run_command(["explain", script, "-o", str(page)]) == 2
    assert page.read_text() == "mine"
    assert run_command(["explain", script, "-o", script, "--force"]) == 2
    assert "is read by this very command" in capsys.readouterr().err


def test_without_a_terminal_all_steps_are_printed(script: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["explain", script, "--terminal"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "page 4 a:1: checksum as before → stable: none → unstable: equal to a:0 → merged → new stable node" in lines
    assert "  A a:1 a:0 (black) ◀" in lines


def test_one_document(script: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["explain", script, "--json", "--kernel", "6.1"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["schema_version"], told["kernel"]) == (1, "6.1")
    assert told["steps"][-1]["printed"]["pages_shared"] == 1


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "takes a script, or --lesson NAME"),
        (["SCRIPT"], "say where it is to be shown"),
        (["--lesson", "two-tree", "--json"], "did you mean 'two-trees'"),
        (["SCRIPT", "--json", "--kernel", "9"], "9"),
    ],
)
def test_wrong_use_is_one_line(
    words: list[str], complaint: str, script: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["explain", *(script if word == "SCRIPT" else word for word in words)]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1


def test_docs_teach_is_what_the_command_makes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["explain", "--lessons", "-o", str(tmp_path / "teach")]) == 0
    made = {path.name: path.read_text() for path in (tmp_path / "teach").iterdir()}
    assert made == {path.name: path.read_text() for path in TEACH.iterdir() if path.suffix in (".ksm", ".html")}
    assert run_command(["explain", "--lessons"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(made) // 2
