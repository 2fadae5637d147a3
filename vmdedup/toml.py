"""TOML files that people give: every TOML file is read here, so that whatever stands in it is an error of one line.

tomllib calls itself for every bracket, takes a time that grows with the square of a dotted key, and passes on what the
interpreter says of a number of 5,000 digits. So brackets, dots and words are looked at first.
"""

from __future__ import annotations

import os
import re
import tomllib
from typing import Any, Final

from vmdedup.errors import UsageError

MOST_BYTES: Final = 1 << 20
DEEPEST: Final = 32  # brackets in brackets, and parts of a key
LONGEST_WORD: Final = 1000  # of a number or a bare key
_AT_LINE = re.compile(r"\(at line (\d+), column \d+\)")
_TEXTS = r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*'
_TOKEN = re.compile(rf"{_TEXTS}|\w{{{LONGEST_WORD + 1},}}|[\[\]{{}}.,=\n]", re.DOTALL)


class TomlError(ValueError):
    """line: on which it stands. The message: what is wrong."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


def read_text(path: str | os.PathLike[str], error: type[UsageError], most: int = MOST_BYTES) -> str:
    """A file's text; a byte order mark, as editors on Windows write one, is skipped.

    Raises `error`: it is no regular file, cannot be read, has more than so many bytes, or is not UTF-8.
    """
    from vmdedup.inputs import read_input  # which a document that comes with the program does without

    content = read_input(path, most, error)
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as reason:
        line = content.count(b"\n", 0, reason.start) + 1
        text = f"not text (byte {reason.start} is no UTF-8); save it as UTF-8"
        raise error(f"{path}:{line}: {text}") from None


def parse(text: str) -> dict[str, Any]:
    """The document in a text. TomlError: it is no TOML, or of a shape that no file for us has."""
    _look_through(text)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        where = _AT_LINE.search(str(error))
        line = int(where[1]) if where else max(1, text.count("\n"))
        reason = _AT_LINE.sub("", str(error)).replace("(at end of document)", "").strip()
    except (ValueError, RecursionError) as error:  # no more than a word that is no number it can make
        line, reason = 1, " ".join(str(error).split())
    raise TomlError(line, f"not TOML: {reason}")


def read_toml(path: str | os.PathLike[str], error: type[UsageError], most: int = MOST_BYTES) -> dict[str, Any]:
    """The document in a file. Raises `error`: FILE:LINE, and what is wrong."""
    try:
        return parse(read_text(path, error, most))
    except TomlError as reason:
        raise error(f"{path}:{reason.line}: {reason}") from None


def _look_through(text: str) -> None:
    """TomlError: brackets too deep, a key of too many parts, a word that is too long."""
    depth = dots = 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token == ".":
            dots += 1
        elif token in ("[", "{"):
            depth, dots = depth + 1, 0
        elif token in ("]", "}"):
            depth = max(0, depth - 1)
        elif token in (",", "=", "\n"):
            dots = 0
        reason = ""
        if depth > DEEPEST or dots > DEEPEST:
            reason = f"nested deeper than {DEEPEST} levels; nothing here needs that"
        elif len(token) > LONGEST_WORD and token[0] not in "\"'#":
            reason = f"a number or key of {len(token)} characters; give a shorter one"
        if reason:
            raise TomlError(text.count("\n", 0, match.start()) + 1, reason)
