"""JSON documents that came from a disk: nothing in them is believed before it was looked at.

A file is opened without waiting for it, read as far as it is long, and its document measured before a schema sees it:
how deep it is, that its numbers are numbers, that its text is text. What holds for all is here; schemas are in schema.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Final

from vmdedup.errors import UsageError
from vmdedup.inputs import read_input

MOST_BYTES: Final = 64 << 20
DEEPEST: Final = 32
LARGEST: Final = 2**64  # no counter, seed or address is as large


def read_document(path: Path) -> dict[str, Any]:
    """The JSON object in a file. UsageError: it is no regular file, or holds none."""
    return parse_document(read_input(path, MOST_BYTES, UsageError), path)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file that has one a line; of the last line, the writer may have got a part only."""
    whole, _, _ = read_input(path, MOST_BYTES, UsageError).rpartition(b"\n")
    return [parse_document(line, path) for line in whole.splitlines()]


def parse_document(content: bytes, path: Path) -> dict[str, Any]:
    """The JSON object in some bytes of a file. UsageError: they hold none."""
    try:
        text = content.decode("utf-8")
        document = json.loads(text, parse_constant=_no_number, parse_float=_finite, parse_int=_whole)
    except RecursionError:
        raise UsageError(f"{path} is nested deeper than {DEEPEST} levels; no file of ours is") from None
    except ValueError as error:
        raise UsageError(f"{path} is no JSON document of ours: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict):
        raise UsageError(f"{path} holds no JSON object")
    _measure(document, path)
    return document


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is too large")
    return value


def _whole(text: str) -> int:
    if len(text) > 21 or abs(value := int(text)) >= LARGEST:
        raise ValueError(f"{text[:20]}… is too large")
    return value


def _measure(document: object, path: Path) -> None:
    """UsageError: the document is too deep, or has text that is none (half a surrogate pair)."""
    level: list[object] = [document]
    for _ in range(DEEPEST):
        below: list[object] = []
        for value in level:
            if isinstance(value, dict):
                below += [*value, *value.values()]
            elif isinstance(value, list):
                below += value
            elif isinstance(value, str) and not value.isascii():
                _check_text(value, path)
        if not below:
            return
        level = below
    raise UsageError(f"{path} is nested deeper than {DEEPEST} levels; no file of ours is")


def _check_text(value: str, path: Path) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{path} has text with half a surrogate pair, which is none") from None
