"""The glossary: every word that summaries use is in it, and `vmdedup run --help` points to it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vmdedup.cli import run_command
from vmdedup.result import columns

GLOSSARY = Path(__file__).parent.parent / "docs" / "glossary.md"
WORDS = ["held", "allocated", "visible", "possible", "within", "between", "looked at", "saved", "profit", "bound"]
UNITS = ("pages", "frames", "bytes", "s")


@pytest.mark.parametrize("word", WORDS)
def test_words_of_summaries_are_explained(word: str) -> None:
    rows = [line for line in GLOSSARY.read_text().splitlines() if line.startswith("| ")]
    assert any(re.search(rf"\b{word}\b", row.split("|")[1]) for row in rows)


def test_help_points_to_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["run", "--help"]) == 0
    assert "docs/glossary.md" in capsys.readouterr().out


def test_columns_of_sizes_and_times_end_in_their_unit() -> None:
    for table in (columns.SERIES, columns.POLICY, columns.REAL, columns.TIMING):
        for name, meaning in table.items():
            if re.search(r"\b(pages|frames|seconds|size)\b", meaning.split(",")[0]):
                is_count = re.search(r"so far$", meaning) and "seconds" not in meaning and "CPU" not in meaning
                assert is_count or name.rpartition("_")[2] in UNITS, name
