"""Measuring real guests: a row each interval while the kernel's ksmd runs by its own tunables, and the Result."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from vmdedup.ksm.sysfs import PROCESS_COUNTERS
from vmdedup.live.ksm.free import FreeKsmd
from vmdedup.live.memory.hashing import PageHasher
from vmdedup.live.memory.measuring import Look, Sight, look
from vmdedup.live.provision.plan import GuestPlan, RunPlan
from vmdedup.result import columns
from vmdedup.result.columns import SHOWN_KNOBS
from vmdedup.result.directory import RunDirectory
from vmdedup.result.run import Result
from vmdedup.result.tables import table
from vmdedup.run.measure.accounting import Mappings, Shares
from vmdedup.run.measure.possible import ZERO_WORD, possible_pages
from vmdedup.run.measure.provenance import machine, versions
from vmdedup.run.measure.row import Row
from vmdedup.run.measure.rows import Rows, Watcher
from vmdedup.units import PAGE_SIZE

_POLL = 0.05  # seconds between two looks whether to stop
_SIZES = ("allocated", "used", "saved", "zero", "within_guest", "between_guests")


class Measuring:
    """One measured run. pids: QEMU's process of each guest that KSM may merge, by name, in the order of starts."""

    def __init__(
        self, plan: RunPlan, pids: Mapping[str, int], ksmd: FreeKsmd, watcher: Watcher, directory: RunDirectory | None
    ) -> None:
        self.notes: dict[str, Any] = {}  # what else belongs into run.json
        self.state = "running"
        self._plan, self._pids, self._ksmd = plan, dict(pids), ksmd
        self._rows = Rows(watcher, directory)
        self._hasher = PageHasher()
        self._lost: set[str] = set()
        self._began, self._clock = time.time(), time.monotonic()
        self._before = {name: sight.other_zeros for name, sight in self._look().sights.items()}

    def event(self, text: str) -> None:
        """Note that something has happened now."""
        self._rows.event(round(time.monotonic() - self._clock, 3), text)

    def run(self, stop: Callable[[], bool]) -> None:
        """Start ksmd, take rows until the plan's time is over, or until stop() says so. KnobError: of a tunable."""
        self._ksmd.start(self._plan.tunables)
        self._clock = due = time.monotonic()
        self._rows.events[:] = [event | {"time_s": 0.0} for event in self._rows.events]
        end = due + self._plan.seconds
        while not stop() and len(self._lost) < len(self._pids):
            now = time.monotonic()
            if now >= due:
                self.sample()
                due = max(due + self._plan.interval, time.monotonic())
            if now >= end:
                break
            time.sleep(max(0.0, min(_POLL, due - time.monotonic(), end - time.monotonic())))

    def sample(self) -> None:
        """Add a row for now."""
        self._rows.begin(lambda: self._run("running"))
        began = time.monotonic()
        counters, cpu = self._ksmd.counters(), self._ksmd.cpu_seconds()
        knobs = {name: self._ksmd.get(name) for name in SHOWN_KNOBS}
        seen = self._look()
        row = {
            "time_s": began - self._clock,
            "guests": len(seen.sights),
            **self._figures(seen, bool(knobs["use_zero_pages"])),
            "cow_breaks": self._ksmd.breaks(),
            "ksmd_cpu_s": cpu,
            **counters,
            **knobs,
        }
        self._rows.add(row, _timing(row["time_s"], time.monotonic() - began, cpu))

    def _look(self) -> Look:
        seen = look(self._pids, self._hasher)
        for name in self._pids.keys() - seen.sights.keys() - self._lost:
            self._lost.add(name)
            self.event(f"{name} has ended; the run goes on without it")
        return seen

    def _figures(self, seen: Look, zeros_are_free: bool) -> Row:
        allocated = sum(sight.allocated for sight in seen.sights.values())
        placed = sum(sight.stat["ksm_zero_pages"] for sight in seen.sights.values())
        zero, within, between = self._mappings(seen).saved()
        return {
            "allocated_pages": allocated,
            "used_pages": len(seen.frames),
            "saved_pages": allocated - len(seen.frames),
            "zero_pages": zero + placed,
            "within_guest_pages": within,
            "between_guests_pages": between,
            "possible_pages": possible_pages(seen.hashes, allocated, placed, zeros_are_free),
            "split_zero_pages": sum(self._split_zeros(name, sight) for name, sight in seen.sights.items()),
        }

    def _split_zeros(self, name: str, sight: Sight) -> int:
        """Pages of a guest that have come to map the zero page, uncounted: ksmd split huge pages that held them."""
        return max(0, sight.other_zeros - self._before.get(name, 0))

    def _mappings(self, seen: Look) -> Mappings:
        allocated, placed = (np.zeros(len(self._pids) + 1, np.int64) for _ in range(2))
        for number, name in enumerate(self._pids, start=1):
            if (sight := seen.sights.get(name)) is not None:
                allocated[number], placed[number] = sight.allocated, sight.stat["ksm_zero_pages"]
        return Mappings(allocated, placed, seen.pairs, lambda _: seen.hashes == ZERO_WORD)

    def result(self, ended: str) -> Result:
        """Everything so far; guests and matrix as they are now. ended: complete, interrupted, …"""
        seen = self._look()
        mappings = self._mappings(seen)
        shares = mappings.shares()
        rows = [self._guest_row(guest, seen, shares) for guest in self._plan.guests]
        return Result(
            run=self._run(ended),
            series=table(self._rows.series, columns.SERIES),
            guests=table(rows, columns.GUESTS),
            matrix=table(self._matrix_rows(mappings), columns.MATRIX),
            timing=table(self._rows.timing, columns.TIMING),
        )

    def _guest_row(self, guest: GuestPlan, seen: Look, shares: Shares) -> Row:
        number = list(self._pids).index(guest.name) + 1 if guest.name in self._pids else 0
        sight = seen.sights.get(guest.name)
        named = {"guest": guest.name, "group": guest.group, "mm": number, "state": self._state_of(guest.name)}
        sizes = (0.0,) * len(_SIZES)
        if sight is not None:
            allocated, used = float(shares.allocated[number]), float(shares.used[number])
            parts = (float(part[number]) for part in (shares.zero, shares.within, shares.between))
            sizes = (allocated, used, allocated - used, *parts)
        return {
            **named,
            "memory_pages": guest.memory_mib * 256,
            **{f"{name}_pages": pages for name, pages in zip(_SIZES, sizes, strict=True)},
            **{name: sight.stat[name] if sight is not None else 0 for name in PROCESS_COUNTERS},
            "split_zero_pages": self._split_zeros(guest.name, sight) if sight else 0,
            "firmware_pages": sight.pages.firmware if sight else 0,
            "huge_pages": sight.huge if sight else 0,
        }

    def _state_of(self, name: str) -> str:
        if name not in self._pids:
            return "not shared"
        return "failed" if name in self._lost else self.state

    def _matrix_rows(self, mappings: Mappings) -> list[Row]:
        names = list(enumerate(self._pids, start=1))
        shared, zero = mappings.matrix(zero=False), mappings.matrix(zero=True)
        return [
            {"guest_a": one, "guest_b": two, "shared_frames": int(shared[a, b]), "zero_frames": int(zero[a, b])}
            for place, (a, one) in enumerate(names)
            for b, two in names[place:]
            if shared[a, b] or zero[a, b]
        ]

    def _run(self, ended: str) -> dict[str, Any]:
        plan = self._plan
        return {
            "schema_version": 1,
            "name": plan.name,
            "backend": "qemu",
            "seed": plan.seed,
            "clock": "real",
            "page_size": PAGE_SIZE,
            "ended": ended,
            "events": self._rows.events,
            "scenario": plan.scenario,
            "knobs": dict(plan.tunables),
            "accelerator": plan.accelerator,
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(self._began)),
            "wall_seconds": round(time.monotonic() - self._clock, 3),
            "versions": versions(),
            "machine": machine(),
            **self.notes,
        }

    def close(self) -> None:
        """Let go of what measuring holds."""
        self._hasher.close()
        self._ksmd.close()


def _timing(seconds: float, took: float, cpu: float) -> Row:
    return {
        "time_s": seconds,
        "wall_s": seconds,
        "guests_wall_s": 0.0,
        "ksmd_wall_s": 0.0,
        "sample_wall_s": took,
        "ksmd_cpu_measured_s": cpu,
    }
