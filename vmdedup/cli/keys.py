"""Keys, one at a time, of somebody who sits at a terminal."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

_NAMES = {"\x1b[C": "right", "\x1b[D": "left", "\x1b[A": "up", "\x1b[B": "down", "\x1b[H": "home", "\x1b[F": "end"}
_NAMES |= {"\x1b": "escape", "\x04": "q"}


def has_keys() -> bool:
    """Whether somebody sits there."""
    return sys.stdin.isatty() and sys.stdout.isatty()


@contextmanager
def keys() -> Iterator[None]:
    """Keys come at once and are not shown. Signals stay: Ctrl-C is what it always is."""
    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    try:
        tty.setcbreak(number)
        yield
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)


def key(timeout: float | None = None) -> str:
    """The next key: a letter, or a name such as left; "" if none comes within so many seconds. q: no more will come."""
    number = sys.stdin.fileno()
    ready, _, _ = select.select([number], [], [], timeout)
    if not ready:
        return ""
    text = os.read(number, 8).decode(errors="replace")
    return _NAMES.get(text, text[:1]) if text else "q"
