"""ksmd in a process of its own, as it is in a host: the same face as ksm.ksmd, over a pipe.

If the process is killed, the next call raises WorkerDiedError. Then the caller has every guest stand between
two operations and calls revive(): host memory is counted afresh, a new ksmd takes over what was merged, and
goes on.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from multiprocessing.connection import Connection

from vmdedup.host.layout import MM_DEAD
from vmdedup.host.logs import LogChannel
from vmdedup.host.memory import Host
from vmdedup.host.workers import Worker, serve, settle
from vmdedup.ksm.ksmd import Ksmd

PRELOAD = "vmdedup.ksm.preload"
CARRIED = ("full_scans", "pages_scanned", "pages_skipped")


@dataclass(frozen=True)
class Legacy:
    """What a ksmd that has died leaves to the next: tunables that had been written, in order, and totals."""

    written: dict[str, str]
    totals: dict[str, int]


def run_ksmd(pipe: Connection, host: Host, logs: LogChannel | None, legacy: Legacy | None) -> None:
    """The whole life of the process. legacy: of the ksmd that it takes over from."""
    settle()
    if logs is not None:
        logs.attach()
    ksmd = Ksmd(host)
    if legacy is not None:
        # Tunables first: some are refused once there are merged pages.
        for knob, text in legacy.written.items():
            ksmd.set(knob, text)
        ksmd.take_over(legacy.totals)
    serve(
        pipe,
        {
            "enter": ksmd.enter,
            "exit": ksmd.exit,
            "scan": lambda pages: (ksmd.scan(pages), ksmd.get("pages_to_scan")),
            "full_scan": ksmd.full_scan,
            "charge": ksmd.charge,
            "set": ksmd.set,
            "knobs": ksmd.knobs,
            "counters": ksmd.counters,
            "ksm_stat": ksmd.ksm_stat,
            "is_entered": ksmd.is_entered,
            "metadata_bytes": ksmd.metadata_bytes,
            "check": ksmd.check,
            "cpu_seconds": time.process_time,
        },
    )


class KsmdProcess:
    """One ksmd on one host. logs: where its process's log records go."""

    def __init__(self, host: Host, logs: LogChannel | None = None) -> None:
        self.host = host
        self._logs = logs
        self._entered: list[int] = []
        self._written: dict[str, str] = {}
        self._totals = dict.fromkeys(CARRIED, 0)
        self._cpu_before = 0.0
        self._cpu_seen = 0.0
        self._worker = Worker("ksmd", run_ksmd, host, logs, None, preload=PRELOAD)
        self._knobs = Ksmd.defaults()

    def enter(self, mm: int) -> None:
        """An address space has mergeable memory from now on."""
        if mm not in self._entered:
            self._entered.append(mm)
        self._worker.call("enter", mm)

    def exit(self, mm: int) -> None:
        """An address space has exited."""
        if mm in self._entered:
            self._entered.remove(mm)
        self._worker.call("exit", mm)

    def is_entered(self, mm: int) -> bool:
        """Whether ksmd scans the address space."""
        return bool(self._worker.call("is_entered", mm))

    def scan(self, pages: int) -> int:
        """One batch. Returns pages scanned."""
        scanned, self._knobs["pages_to_scan"] = self._worker.call("scan", pages)
        self._totals["pages_scanned"] += scanned
        return int(scanned)

    def full_scan(self) -> int:
        """Scan to the end of the current full scan. Returns pages scanned."""
        return int(self._worker.call("full_scan"))

    def charge(self, now_ms: int, cpu_ms: int) -> None:
        """Its clock, and the CPU time that it has had."""
        self._worker.call("charge", now_ms, cpu_ms)

    def get(self, knob: str) -> int:
        """A tunable's value."""
        return self._knobs[knob]

    def set(self, knob: str, text: str) -> None:
        """Write a tunable. Raises KnobError with the kernel's refusal."""
        self._worker.call("set", knob, text)
        self._knobs = self._worker.call("knobs")
        # In the order of the last writes, for a ksmd that takes over.
        self._written.pop(knob, None)
        self._written[knob] = text

    def counters(self) -> dict[str, int]:
        """The counters of /sys/kernel/mm/ksm by name."""
        values: dict[str, int] = self._worker.call("counters")
        self._totals = {name: values[name] for name in CARRIED}
        return values

    def ksm_stat(self, mm: int) -> dict[str, int]:
        """The figures of /proc/PID/ksm_stat."""
        values: dict[str, int] = self._worker.call("ksm_stat", mm)
        return values

    def metadata_bytes(self) -> dict[str, int]:
        """Bytes that its records take, by kind."""
        values: dict[str, int] = self._worker.call("metadata_bytes")
        return values

    def check(self) -> None:
        """Verify its trees and counters; raises InvariantError."""
        self._worker.call("check")

    def cpu_seconds(self) -> float:
        """CPU time that its processes have really had."""
        self._cpu_seen = self._cpu_before + float(self._worker.call("cpu_seconds"))
        return self._cpu_seen

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._worker.pid

    @property
    def sentinel(self) -> int:
        """A descriptor that becomes readable when its process ends."""
        return self._worker.sentinel

    def is_alive(self) -> bool:
        """Whether its process is there."""
        return self._worker.is_alive()

    def revive(self) -> None:
        """After its death, while every guest stands: mend the host and start again, keeping what is merged."""
        self._worker.close()
        self.host.recover()
        for mm in [m for m, state in enumerate(self.host.arrays.mms["state"]) if state == MM_DEAD]:
            self.host.release(mm)
        self._cpu_before = self._cpu_seen
        legacy = Legacy(self._written, self._totals)
        self._worker = Worker("ksmd", run_ksmd, self.host, self._logs, legacy, preload=PRELOAD)
        for mm in self._entered:
            self._worker.call("enter", mm)

    def close(self) -> None:
        """End the process."""
        self._worker.close()
