"""Who watches a run that is made from Python: nobody, or the table that `vmdedup run` shows."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from vmdedup.run.measure.rows import Silent, Watcher
from vmdedup.scenario.model import Scenario


@contextmanager
def watching(scenario: Scenario, progress: bool) -> Iterator[Watcher]:
    """Whoever is to see the run. progress: the table of its latest row, where there is a terminal or a notebook."""
    if not progress:
        yield Silent()
        return
    from vmdedup.report.console import console, live_view

    with live_view(console(no_color=False), scenario.name, scenario.duration) as view:
        yield view or Silent()


_log = logging.getLogger("vmdedup.run")


class ToLogging(logging.Handler):
    """Passes records of all processes on to the logger "vmdedup.run".

    Its handlers and, if it propagates, the root's get them. Not those of "vmdedup": while a run goes on, that logger's
    only handler is what leads here.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Pass it on."""
        if _log.disabled or not _log.filter(record):
            return
        for handler in _log.handlers:
            if record.levelno >= handler.level:
                handler.handle(record)
        if _log.propagate:
            logging.getLogger().handle(record)
