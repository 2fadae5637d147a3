"""What a run finds, row by row, and in the end the Result."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from vmdedup.result import columns
from vmdedup.result.directory import RunDirectory
from vmdedup.result.run import Result
from vmdedup.result.tables import table
from vmdedup.run.measure.about import machine, versions
from vmdedup.run.measure.accounting import guest_rows, matrix_rows
from vmdedup.run.measure.host import Host
from vmdedup.run.measure.rows import Rows, Watcher, sample
from vmdedup.units import SECOND_NS

SCHEMA_VERSION = 1  # of run.json


class Recorder:
    """Takes samples and notes events. Times are nanoseconds since the run began."""

    def __init__(self, about: Mapping[str, Any], watcher: Watcher, directory: RunDirectory | None = None) -> None:
        """about: what run.json says of the run from the start. directory: where rows go as they come."""
        self.now = 0
        self.waits = {"guests": 0.0, "ksmd": 0.0}  # real seconds spent waiting since the last sample
        self._about = about
        self._rows = Rows(watcher, directory)
        self._last = -1  # when the last row was taken
        self._cpu = 0.0  # of ksmd, as the last row has it
        self._worst: dict[str, Any] | None = None
        self._began = time.time()
        self._clock = time.monotonic()

    def event(self, text: str) -> None:
        """Note that something has happened now."""
        self._rows.event(self.now / SECOND_NS, text)

    def look(self, host: Host) -> None:
        """Note how much the host has used at most, and when that was: between two rows, too."""
        seen = host.most_used()
        if seen is not None and (self._worst is None or seen[0] > self._worst["used_pages"]):
            most, there = seen
            self._worst = {
                "time_s": self.now / SECOND_NS,
                "used_pages": most,
                "host_pages": there,
                "full": most >= there,
            }

    @property
    def rows(self) -> int:
        """Rows so far."""
        return len(self._rows.series)

    def is_due(self, interval: int) -> bool:
        """Whether a row of the next interval has not been taken yet."""
        return self.now // interval * interval > self._last

    def sample(self, host: Host, ksmd_cpu: float) -> None:
        """Add a row. ksmd_cpu: CPU seconds to be shown for ksmd."""
        self._last, self._cpu = self.now, ksmd_cpu
        self.look(host)
        self._rows.begin(lambda: self._run(host, "running"))
        before = time.monotonic()
        row = sample(host, self.now / SECOND_NS, ksmd_cpu)
        timing = {
            "time_s": row["time_s"],
            "wall_s": before - self._clock,
            "guests_wall_s": self.waits["guests"],
            "ksmd_wall_s": self.waits["ksmd"],
            "sample_wall_s": time.monotonic() - before,
            "ksmd_cpu_measured_s": host.ksmd.cpu_seconds(),
        }
        self.waits = dict.fromkeys(self.waits, 0.0)
        self._rows.add(row, timing)

    def sample_last(self, host: Host, ksmd_cpu: float) -> None:
        """Add a row for the end, unless the latest one is for now."""
        if self._last != self.now:
            self.sample(host, ksmd_cpu)

    def sample_death(self, host: Host) -> None:
        """Add a row for a host whose memory has run out, now that those who found none are gone."""
        if self._last != self.now:
            self.sample(host, self._cpu)

    def result(self, host: Host, ended: str) -> Result:
        """Everything so far; guests and matrix as they are now. ended: complete, interrupted, …"""
        mappings = host.mappings()
        residents = host.residents()
        return Result(
            run=self._run(host, ended),
            series=table(self._rows.series, columns.SERIES),
            guests=table(guest_rows(residents, mappings), columns.GUESTS),
            matrix=table(matrix_rows(residents, mappings), columns.MATRIX),
            timing=table(self._rows.timing, columns.TIMING),
        )

    def _run(self, host: Host, ended: str) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            **self._about,
            **host.about(),
            "ended": ended,
            "events": self._rows.events,
            "worst": self._worst,
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(self._began)),
            "wall_seconds": round(time.monotonic() - self._clock, 3),
            "versions": versions(),
            "machine": machine(),
        }
