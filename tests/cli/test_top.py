"""vmdedup top."""

from __future__ import annotations

import json

import pytest

from vmdedup.cli import run_command


@pytest.mark.compiled
def test_one_look_as_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "top",
        "identical",
        "--guests",
        "2",
        "--memory",
        "16MiB",
        "--once",
        "--json",
        "--interval",
        "300ms",
        "--speed",
        "5",
    ]
    assert run_command(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema_version"] == 1
    assert len(told["guests"]) == 2
    assert told["rates"]["pages_scanned_per_s"] > 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--sort", "x"], "there are m, a, r"),
        (["--interval", "0s"], "an interval of 0 will not do"),
        (["--guests", "3"], "this host is only read"),
    ],
)
def test_wrong_use_is_one_line(words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["top", *words]) == 2
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
