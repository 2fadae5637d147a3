"""What commands print: every line and every document of the command line passes here, foreign text and all."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from vmdedup.shown import json_text, shown, shown_lines

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Any

PATIENCE = 2.0  # seconds without progress being shown
OFTEN = 0.2  # seconds between two updates
_CLEAR = "\r\x1b[K"  # to the beginning of the line; clear it


def say(text: object = "", err: bool = False) -> None:
    """Print lines on stdout, or stderr."""
    print(shown_lines(text), file=sys.stderr if err else sys.stdout)


def warn(text: object) -> None:
    """One line on stderr, with our name before it."""
    print(f"vmdedup: {shown(' '.join(str(text).split()))}", file=sys.stderr)


def say_document(document: Mapping[str, Any], at_once: bool = False) -> None:
    """Print a JSON document on stdout. at_once: it is waited for, and much is to come."""
    print(json_text(document), flush=at_once)


class Progress:
    """A line on stderr that says how far we are: on a terminal only, and once it has taken a while."""

    def __init__(self, quiet: bool = False, patience: float = PATIENCE) -> None:
        self._shown = not quiet and sys.stderr.isatty()
        self._next = time.monotonic() + patience
        self._dirty = False

    def show(self, text: object) -> None:
        """Show this in place of what was shown before, if it is time."""
        if self._shown and (now := time.monotonic()) >= self._next:
            self._next = now + OFTEN
            self._dirty = True
            print(f"{_CLEAR}{shown(text)}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away, for what is printed next."""
        if self._dirty:
            self._dirty = False
            print(_CLEAR, end="", file=sys.stderr, flush=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()
