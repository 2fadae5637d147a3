"""The line of every key: headers, array tables, dotted and quoted keys, values of several lines."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from vmdedup.scenario.lines import find_line, key_lines
from vmdedup.scenario.problems import Path

TEXT = '''\
# a comment with = and [brackets]
title = """
[not.a.table]
memory = 1
"""
host.memory = "1GiB"   # dotted

[ksm]
run = 1
"pages_to_scan" = 100

[[guests]]
name = "one"
list = [
  "a", # with ] inside
  "[b",
]
after = 1
  [guests.disk]
  path = '/usr'
  [[guests.events]]
  at = "1s"
  [[guests.events]]
  at = "2s"

[[guests]]
name = "two"
inline = { a = 1, b = [1, 2] }
events = [{ at = "3s" }]
'''


def test_every_kind_of_key() -> None:
    lines = key_lines(TEXT)
    assert lines["title",] == 2
    assert lines["host", "memory"] == 6
    assert lines["ksm",] == 8
    assert lines["ksm", "pages_to_scan"] == 10
    assert lines["guests", 0] == 12
    assert lines["guests", 0, "list"] == 14
    assert lines["guests", 0, "after"] == 18
    assert lines["guests", 0, "disk", "path"] == 20
    assert lines["guests", 0, "events", 0, "at"] == 22
    assert lines["guests", 0, "events", 1, "at"] == 24
    assert lines["guests", 1, "name"] == 27
    assert ("not", "a", "table") not in lines
    assert ("memory",) not in lines


def test_what_has_no_line_of_its_own_gets_the_nearest() -> None:
    lines = key_lines(TEXT)
    assert find_line(lines, ("guests", 1, "inline", "b")) == 28
    assert find_line(lines, ("guests", 1, "events", 0, "at")) == 29
    assert find_line(lines, ("guests", 7)) == 1
    assert find_line(lines, ("nothing",)) == 1


def _paths(value: Any, path: Path = ()) -> list[Path]:
    """The paths of every leaf in parsed TOML."""
    if isinstance(value, dict):
        return [p for key, inner in value.items() for p in _paths(inner, (*path, key))]
    if isinstance(value, list) and value and all(isinstance(inner, dict) for inner in value):
        return [p for index, inner in enumerate(value) for p in _paths(inner, (*path, index))]
    return [path]


KEYS = st.sampled_from(["a", "b_c", "d-e", "f1"])
VALUES = st.sampled_from(["1", '"x = [y]"', "'''\nz = 2\n[q]\n'''", '["]", 1,\n 2]', '"\\""', "true # = no"])
TABLES = st.lists(st.tuples(st.booleans(), KEYS, st.dictionaries(KEYS, VALUES, max_size=3)), max_size=5)


@given(TABLES)
@settings(derandomize=True, max_examples=200)
def test_every_key_is_found_on_the_line_that_assigns_it(
    tables: list[tuple[bool, str, dict[str, str]]],
) -> None:
    text, singles = "", set[str]()
    for is_array, name, keys in tables:
        header = f"array_{name}" if is_array else f"table_{name}"
        if not is_array and header in singles:
            continue
        singles.add(header)
        text += f"[[{header}]]\n" if is_array else f"[{header}]\n"
        text += "".join(f"{key} = {value}\n" for key, value in keys.items())
    lines = key_lines(text)
    for path in _paths(tomllib.loads(text)):
        assert text.split("\n")[lines[path] - 1].split()[0] == path[-1]
