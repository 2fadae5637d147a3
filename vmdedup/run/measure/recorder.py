"""What a run finds, row by row, and in the end the Result."""

from __future__ import annotations

import time
from typing import Any

from vmdedup.policy.table import policy_label
from vmdedup.policy.work import GUEST_PRICES_NS
from vmdedup.result import columns
from vmdedup.result.directory import RunDirectory
from vmdedup.result.run import Result
from vmdedup.result.tables import table
from vmdedup.run.emulation import Emulation
from vmdedup.run.measure.provenance import machine, versions
from vmdedup.run.measure.row import sample
from vmdedup.run.measure.rows import Rows, Watcher
from vmdedup.run.measure.tally import guest_rows, matrix_rows
from vmdedup.run.pricing import Pricing
from vmdedup.run.room import HostRoom
from vmdedup.scenario.model import Scenario
from vmdedup.scenario.policy import policy_kind
from vmdedup.units import PAGE_SIZE, SECOND_NS


class Recorder:
    """Takes samples and notes events. Times are nanoseconds since the run began."""

    def __init__(
        self,
        scenario: Scenario,
        watcher: Watcher,
        prices: Pricing,
        room: HostRoom | None = None,
        directory: RunDirectory | None = None,
    ) -> None:
        """room: what the host got, if it is emulated. directory: where rows go as they come."""
        self.pricing = prices
        self.now = 0
        self.waits = {"guests": 0.0, "ksmd": 0.0}  # real seconds spent waiting since the last sample
        self._scenario = scenario
        self._room = room
        self._rows = Rows(watcher, directory)
        self._last = -1  # when the last row was taken
        self._cpu = 0.0  # of ksmd, as the last row has it
        self._worst: dict[str, Any] | None = None
        self._began = time.time()
        self._clock = time.monotonic()

    def event(self, text: str) -> None:
        """Note that something has happened now."""
        self._rows.event(self.now / SECOND_NS, text)

    def look(self, emulation: Emulation) -> None:
        """Note how much the host has used at most, and when that was: between two rows, too."""
        seen = emulation.backend.most_used(self._scenario.clock == "wall")
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

    def sample(self, emulation: Emulation, ksmd_cpu: float) -> None:
        """Add a row. ksmd_cpu: CPU seconds to be shown for ksmd."""
        self._last, self._cpu = self.now, ksmd_cpu
        self.look(emulation)
        self._rows.begin(lambda: self._run(emulation.backend.name, "running"))
        before = time.monotonic()
        alive = sum(1 for _ in emulation.alive())
        row = sample(emulation.backend, self.now / SECOND_NS, alive, ksmd_cpu)
        timing = {
            "time_s": row["time_s"],
            "wall_s": before - self._clock,
            "guests_wall_s": self.waits["guests"],
            "ksmd_wall_s": self.waits["ksmd"],
            "sample_wall_s": time.monotonic() - before,
            "ksmd_cpu_measured_s": emulation.ksmd.cpu_seconds(),
        }
        self.waits = dict.fromkeys(self.waits, 0.0)
        self._rows.add(row, timing)

    def sample_last(self, emulation: Emulation, ksmd_cpu: float) -> None:
        """Add a row for the end, unless the latest one is for now."""
        if self._last != self.now:
            self.sample(emulation, ksmd_cpu)

    def sample_death(self, emulation: Emulation) -> None:
        """Add a row for a host whose memory has run out, now that those who found none are gone."""
        if self._last != self.now:
            self.sample(emulation, self._cpu)

    def result(self, emulation: Emulation, ended: str) -> Result:
        """Everything so far; guests and matrix as they are now. ended: complete, interrupted, …"""
        mappings = emulation.backend.mappings()
        return Result(
            run=self._run(emulation.backend.name, ended),
            series=table(self._rows.series, columns.SERIES),
            guests=table(guest_rows(emulation, mappings), columns.GUESTS),
            matrix=table(matrix_rows(emulation, mappings), columns.MATRIX),
            timing=table(self._rows.timing, columns.TIMING),
        )

    def _run(self, backend: str, ended: str) -> dict[str, Any]:
        scenario = self._scenario
        return {
            "schema_version": 1,
            "name": scenario.name,
            "backend": backend,
            "policy": policy_label(scenario.policy.name),
            "is_bound": policy_kind(scenario).is_bound,
            "seed": scenario.seed,
            "clock": scenario.clock,
            "page_size": PAGE_SIZE,
            "ended": ended,
            "events": self._rows.events,
            "worst": self._worst,
            "copy_ns": GUEST_PRICES_NS["cow_break"],
            "host": self._room.document if self._room is not None else None,
            "prices": self.pricing.document(),
            "knobs": scenario.ksm.all_tunables(),
            "scenario": scenario.model_dump(mode="json", exclude_none=True),
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(self._began)),
            "wall_seconds": round(time.monotonic() - self._clock, 3),
            "versions": versions(),
            "machine": machine(),
        }
