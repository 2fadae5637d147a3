"""Published figures: what may be off by reading, ranges, and what is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmdedup.errors import UsageError
from vmdedup.result.published import Level, read_published

HEAD = "label = 'a'\nsource = 'b'\ncertainty = 'c'\n"
READ = HEAD + "reading_error = 2.0\n[levels]\nplain = 33.5\nwide = [50.0, 72.0]\nexact = 7\nthin = [1, 2]\n"


def read(tmp_path: Path, text: str) -> dict[str, Level]:
    path = tmp_path / "figures.toml"
    path.write_text(text)
    return dict(read_published(path).levels)


def test_a_range_is_its_middle_and_half_of_it_is_a_further_error(tmp_path: Path) -> None:
    found = read(tmp_path, READ + "[reading_errors]\nexact = 0\nthin = 0.5\n")
    assert found == {
        "plain": Level(33.5, 2.0),
        "wide": Level(61.0, 13.0),
        "exact": Level(7, 0.0),
        "thin": Level(1.5, 1.0),
    }


def test_what_stands_in_a_text_is_exact(tmp_path: Path) -> None:
    assert read(tmp_path, HEAD + "[levels]\na = 3\n") == {"a": Level(3, 0.0)}
    assert read(tmp_path, HEAD) == {}, "a paper that says it in words"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + "[levels]\na = [3]\n", "a is no number"),
        (HEAD + "[levels]\na = [3, 2]\n", "a is no number"),
        (HEAD + "[levels]\na = [true, 2]\n", "a is no number"),
        (HEAD + "[[series]]\ntime_s = 1\na = [1, 2]\n", "a is no number"),
        (HEAD + "reading_error = -1\n[levels]\na = 1\n", "reading_error is no number from 0 on"),
        (HEAD + "reading_error = '2'\n[levels]\na = 1\n", "reading_error is no number from 0 on"),
        (HEAD + "reading_errors = 3\n[levels]\na = 1\n", "as a table"),
        (HEAD + "[levels]\na = 1\n[reading_errors]\nb = 1\n", "'b', which is none of"),
        (HEAD + "[levels]\na = 1\n[reading_errors]\na = -1\n", "a is no number from 0 on"),
    ],
)
def test_what_is_no_figure_is_told(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        read(tmp_path, text)
