"""vmdedup scenario list, show and check."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmdedup.cli import run_command
from vmdedup.guest.parameters import parameters_of
from vmdedup.guest.workloads import WORKLOADS, workload_class
from vmdedup.scenario.load import builtin_names


def test_list_names_every_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["scenario", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == builtin_names()
    assert lines[0].startswith("identical ")


def test_workloads_are_listed_with_their_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["scenario", "workloads"]) == 0
    out = capsys.readouterr().out
    for name in WORKLOADS:
        assert f"\n{name}: " in f"\n{out}"
        assert all(f"  {parameter} " in out for parameter in parameters_of(workload_class(name).Parameters))


def test_what_is_shown_can_be_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["scenario", "show", "mixed"]) == 0
    path = tmp_path / "mine.toml"
    path.write_text(capsys.readouterr().out)
    assert run_command(["scenario", "check", str(path)]) == 0
    assert "2 × 128MiB fileserver (files)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["check", "nonesuch"], "no scenario 'nonesuch'"),
        (["show", "identicall"], "did you mean 'identical'?"),
        (["check", "none.toml"], "none.toml: cannot be opened: No such file or directory; give a readable TOML"),
        (["check"], "see vmdedup scenario check --help"),
        (["dance"], "see vmdedup scenario --help"),
    ],
)
def test_what_is_not_there(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["scenario", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert complaint in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("path", ["missing", "empty", "image.raw"])
def test_check_opens_the_disks(path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "image.raw").write_bytes(b"")
    (tmp_path / "mine.toml").write_text(f"[[guests]]\ndisk.path = '{path}'\n")
    assert run_command(["scenario", "check", str(tmp_path / "mine.toml")]) == 2
    assert str(tmp_path / path) in capsys.readouterr().err


EVIL = "from pathlib import Path\nPath({marker!r}).touch()\nclass Mine:\n    pass\n"


def test_check_runs_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "evil.py").write_text(EVIL.format(marker=str(tmp_path / "ran")))
    (tmp_path / "mine.toml").write_text("[policy]\nname = 'evil.py'\ntunables.whatever = 1\n[[guests]]\n")
    assert run_command(["scenario", "check", str(tmp_path / "mine.toml")]) == 0
    assert "evil.py was not run, so its tunables are not checked" in capsys.readouterr().out
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("text", "name", "complaint"),
    [
        ("class Mine:\n    pass\n", "own.py:Other", "it defines Mine"),
        ("x = 1\n", "own.py", "it defines none"),
        ("class\n", "own.py", "is no Python"),
        ("class Mine:\n    pass\n", "none.py", "none.py is no file"),
    ],
)
def test_check_looks_at_a_policy_s_file(
    text: str, name: str, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own.py").write_text(text)
    (tmp_path / "mine.toml").write_text(f"[policy]\nname = '{name}'\n[[guests]]\n")
    assert run_command(["scenario", "check", str(tmp_path / "mine.toml")]) == 2
    captured = capsys.readouterr()
    assert complaint in captured.err
    assert captured.err.count("\n") == 1
