"""Log records on a console, above a live table if there is one."""

from __future__ import annotations

import logging

from rich.console import Console


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
