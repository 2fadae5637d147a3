"""The table while a run goes on: where it is, what is saved, what ksmd does. On a terminal, or in a notebook."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vmdedup.units import PAGE_SIZE, SECOND_NS, format_duration, mib

Row = Mapping[str, Any]

_COUNTERS = (
    "pages_shared",
    "pages_sharing",
    "pages_unshared",
    "pages_volatile",
    "full_scans",
    "pages_scanned",
)
_SIZES = ("allocated", "used", "saved", "zero", "within_guest", "between_guests", "possible")


class LiveView:
    """Shows the latest row of the series. A context manager.

    title: the scenario's name. duration: nanoseconds that the run will take, virtual or real.
    """

    def __init__(self, console: Console, title: str, duration: int) -> None:
        self._title = title
        self._seconds = duration / SECOND_NS
        self._note = "starting guests"
        self._row: Row | None = None
        self._began = time.monotonic()
        self._live = Live(console=console, transient=True, refresh_per_second=4, get_renderable=self.renderable)

    def sample(self, row: Row) -> None:
        """A new row of the series; with the first, what was said of the start has had its time."""
        if self._row is None:
            self._note = ""
        self._row = row

    def event(self, text: str) -> None:
        """Something worth a line has happened."""
        self._note = text

    def renderable(self) -> Group:
        """What is to be seen now."""
        row = self._row or {}
        lines = [self._head(float(row.get("time_s", 0.0))), self._sizes(row), self._ksm(row)]
        return Group(*lines, Text(self._note, style="dim"))

    def __enter__(self) -> LiveView:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def _head(self, now: float) -> Table:
        table = Table.grid(padding=(0, 1))
        real = format_duration(int(time.monotonic() - self._began) * SECOND_NS)
        whole = format_duration(round(self._seconds * SECOND_NS))
        bar = ProgressBar(total=max(self._seconds, 1e-9), completed=now, width=30)
        table.add_row(Text(self._title, style="bold"), bar, f"{now:.1f}s of {whole}", Text(f"({real} real)"))
        return table

    def _sizes(self, row: Row) -> Table:
        """Two lines: names and MiB."""
        values = [f"{mib(int(row.get(f'{size}_pages', 0)) * PAGE_SIZE):,.1f}" for size in _SIZES]
        headings = [size.partition("_")[0] for size in _SIZES]
        return _strip(["MiB", *headings, "guests"], ["", *values, str(row.get("guests", 0))])

    def _ksm(self, row: Row) -> Table:
        return _strip(["ksm", *_COUNTERS], ["", *(f"{int(row.get(name, 0)):,}" for name in _COUNTERS)])


def _strip(headings: list[str], values: list[str]) -> Table:
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="cyan")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_row(*values)
    return table
