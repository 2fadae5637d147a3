"""Where a command writes for people: in colour on a terminal, log records above the live table."""

from __future__ import annotations

import logging
import os
import sys

from rich.console import Console


def console(no_color: bool, to_stdout: bool = False) -> Console:
    """A console on stderr (or stdout). NO_COLOR and FORCE_COLOR are obeyed; --no-color goes before both."""
    stream = sys.stdout if to_stdout else sys.stderr
    width = None if stream.isatty() or "COLUMNS" in os.environ else 110
    return Console(file=stream, no_color=no_color or None, width=width, soft_wrap=False, emoji=False, markup=False)


def log_level(verbose: int, quiet: bool) -> int:
    """The level for -q, nothing, -v and -vv."""
    if quiet:
        return logging.ERROR
    return (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]


class ConsoleHandler(logging.Handler):
    """Log records as lines on the console, above a live table if there is one."""

    def __init__(self, target: Console) -> None:
        super().__init__()
        self._console = target

    def emit(self, record: logging.LogRecord) -> None:
        """One line a record (more if it carries a traceback)."""
        self._console.print(f"{record.levelname.lower()}: {self.format(record)}", highlight=False, soft_wrap=True)
