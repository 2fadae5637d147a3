"""Foreign text on its way to terminals and documents."""

from __future__ import annotations

import io
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from vmdedup.report.console import SafeConsole, print_parts
from vmdedup.shown import json_text, shown, shown_lines

ANYTHING = st.text(st.characters(codec=None, exclude_categories=()))  # lone surrogates, too


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("web1", "web1"),
        ("größe 日本", "größe 日本"),
        ("a\x1b[31mred", "a\\x1b[31mred"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\x9b31m", "a\\x9b31m"),
        ("gpj\u202eexe", "gpj\\u202eexe"),
        ("one\ntwo\r", "one\\ntwo\\r"),
        ("bad\udcff.raw", "bad\\xff.raw"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_cannot_be_printed_is_spelled_out(text: str, seen: str) -> None:
    assert shown(text) == seen


@given(ANYTHING)
def test_nothing_shown_moves_a_cursor(text: str) -> None:
    assert shown(text).isprintable()
    assert shown_lines(text).count("\n") == text.count("\n")
    shown(text).encode()


@given(st.dictionaries(ANYTHING, st.one_of(ANYTHING, st.integers(), st.lists(ANYTHING)), max_size=4))
def test_documents_say_the_same_when_read_back(document: dict[str, object]) -> None:
    text = json_text(document)
    text.encode()  # is UTF-8
    assert text.replace("\n", "").isprintable()
    assert json.loads(text) == _joined(document)


def _joined(value: object) -> object:
    """As JSON's readers have it: two halves of a pair that stand side by side are one character."""
    return json.loads(json.dumps(value))


@pytest.mark.parametrize("foreign", ["\x1b]0;owned\x07vm", "a\u202eb", "x\x9b2Jy", "n\x00l", "\x1b[31mred\x1b[0m"])
def test_tables_hold_no_foreign_escapes(foreign: str) -> None:
    out = io.StringIO()
    console = SafeConsole(file=out, force_terminal=True, width=60)
    table = Table(title=foreign)
    table.add_column(foreign)
    table.add_row(foreign)
    print_parts(console, [foreign, table])
    console.print(foreign, highlight=False)
    plain = re.sub(r"\x1b\[(0|1|3)m|\n", "", out.getvalue())  # bold headings, italic titles
    assert plain.isprintable(), repr(plain)
