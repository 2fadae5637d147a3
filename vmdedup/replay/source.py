"""Where the text of a KSM script comes from: a file, or standard input."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vmdedup.errors import ScriptError
from vmdedup.inputs import open_input

STDIN = "-"
MOST_BYTES = 16 << 20  # of a script; what it is parsed to takes some thirty times as much


@dataclass(frozen=True, slots=True)
class Source:
    """A script's text. name: in messages. folder: where paths within it start."""

    name: str
    text: str
    folder: Path


def read_source(path: str | Path) -> Source:
    """The text of a script, without a byte order mark, its lines ending in \\n. "-": standard input. ScriptError."""
    if str(path) == STDIN:
        return Source("standard input", _text("standard input", _standard_input()), Path())
    try:
        descriptor = open_input(path, error=ScriptError)
    except ScriptError as error:
        raise ScriptError(f"{error}; give a KSM script's file, or - for standard input") from None
    with open(descriptor, "rb") as file:
        return Source(str(path), _text(str(path), file), Path(path).parent)


def _standard_input() -> BinaryIO:
    if sys.stdin is None:
        raise ScriptError("standard input is closed; give a KSM script's file")
    return sys.stdin.buffer


def _text(name: str, file: BinaryIO) -> str:
    try:
        data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ScriptError(f"{name}: {os.strerror(error.errno or 0)}; give a readable KSM script") from None
    if len(data) > MOST_BYTES:
        raise ScriptError(f"{name}: longer than {MOST_BYTES >> 20} MiB; split it into several scripts")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ScriptError(f"{name}: not text (byte {error.start} is no UTF-8); save it as UTF-8") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")
