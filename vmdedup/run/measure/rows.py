"""What a run writes down as it goes on: rows and events, in memory for the result, on disk in case there is none.

A row has every counter at one moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from vmdedup.result.columns import SHOWN_KNOBS
from vmdedup.result.directory import RunDirectory
from vmdedup.run.measure.host import Host

Row = dict[str, Any]  # int, float or str; None where nobody can know


def sample(host: Host, seconds: float, ksmd_cpu: float) -> Row:
    """A row for the series (result.columns). ksmd_cpu: seconds so far."""
    counters = host.ksmd.counters()
    knobs = {name: host.ksmd.get(name) for name in SHOWN_KNOBS}
    figures = host.figures()
    row: Row = {
        "time_s": seconds,
        "guests": host.present,
        "allocated_pages": figures.allocated,
        "used_pages": figures.used,
        "saved_pages": figures.allocated - figures.used,
        "zero_pages": figures.zero,
        "within_guest_pages": figures.within,
        "between_guests_pages": figures.between,
        "possible_pages": figures.possible,
        "cow_breaks": figures.breaks,
        "ksmd_cpu_s": ksmd_cpu,
        **counters,
        **knobs,
    }
    return {**row, **figures.further}


class Watcher(Protocol):
    """Whoever wants to see a run while it goes on."""

    def sample(self, row: Row) -> None:
        """A new row of the series."""

    def event(self, text: str) -> None:
        """Something worth a line has happened."""


class Silent:
    """The watcher of those who do not look."""

    def sample(self, row: Row) -> None:
        """Nothing."""

    def event(self, text: str) -> None:
        """Nothing."""


class Rows:
    """Series, timing and events. directory: where they go as they come, from the first row on; None: nowhere."""

    def __init__(self, watcher: Watcher, directory: RunDirectory | None) -> None:
        self.series: list[Row] = []
        self.timing: list[Row] = []
        self.events: list[dict[str, Any]] = []
        self._watcher, self._directory = watcher, directory

    def event(self, seconds: float, text: str) -> None:
        """Something has happened, so many seconds after the run began."""
        self.events.append({"time_s": seconds, "text": text})
        self._keep("events", self.events[-1])
        self._watcher.event(text)

    def begin(self, about: Callable[[], Mapping[str, Any]]) -> None:
        """Before the first row: have on disk what is run, and what has happened so far. about: gives run.json."""
        if self._directory is not None and not self.series:
            self._directory.begin(about())
            for event in self.events:
                self._keep("events", event)

    def add(self, row: Row, timing: Row) -> None:
        """A row, and what taking it took."""
        self.series.append(row)
        self.timing.append(timing)
        self._keep("series", row)
        self._keep("timing", timing)
        self._watcher.sample(row)

    def _keep(self, name: str, row: Mapping[str, Any]) -> None:
        """On disk, too; that this cannot be is told once."""
        if self._directory is not None and not self._directory.trouble:
            self._directory.add(name, row)
            if self._directory.trouble:
                self.event(float(row["time_s"]), f"rows are kept in memory only: {self._directory.trouble}")
