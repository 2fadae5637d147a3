"""A policy in a process of its own, over a pipe: the same face for each, as ksm.daemon is for ksmd.

What the fork server loads and warms is said beforehand, by warm_policies(): compiled code of every policy there is
would make each worker larger.

If the process is killed, the next call raises WorkerDiedError. Then the caller has every guest stand between two
operations and calls revive(): host memory is counted afresh, and a new policy attaches to the host as it is.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from vmdedup.host.layout import MM_DEAD
from vmdedup.host.logs import LogChannel
from vmdedup.host.memory import Host
from vmdedup.host.workers import Worker, serve, settle
from vmdedup.policy.table import load_policy

PRELOAD = "vmdedup.policy.preload"
WARM = "VMDEDUP_WARM_POLICIES"  # in the fork server's environment: names of policies, a line each
_CARRIED = ("full_scans", "pages_scanned", "pages_skipped")  # what a policy that takes over goes on counting


@dataclass(frozen=True)
class Order:
    """Which policy is wanted: name as load_policy takes it, seed, and tunables to write, in order."""

    name: str
    seed: int = 0
    written: dict[str, str] = field(default_factory=dict)


def warm_policies(*names: str) -> None:
    """Have the fork server load these policies too; without effect once it runs, but for their first batches."""
    known = os.environ.get(WARM, "").splitlines()
    os.environ[WARM] = "\n".join(dict.fromkeys([*known, *names]))


def run_policy(pipe: Connection, host: Host, logs: LogChannel | None, order: Order) -> None:
    """The whole life of the process."""
    settle()
    if logs is not None:
        logs.attach()
    policy = load_policy(order.name)(host, order.seed)
    for knob, text in order.written.items():
        policy.set(knob, text)
    serve(
        pipe,
        {
            "enter": policy.enter,
            "exit": policy.exit,
            "scan": lambda pages: (policy.scan(pages), policy.knobs(), policy.work_ns()),
            "charge": policy.charge,
            "set": policy.set,
            "knobs": policy.knobs,
            "counters": policy.counters,
            "ksm_stat": policy.ksm_stat,
            "work": lambda: (policy.work_ns(), dict(policy.work.done)),
            "check": policy.check,
            "detach": policy.detach,
            "cpu_seconds": time.process_time,
        },
    )


class PolicyProcess:
    """One policy on one host. logs: where its process's log records go."""

    def __init__(self, host: Host, order: Order, logs: LogChannel | None = None) -> None:
        self.kind = load_policy(order.name)  # so that a bad name is refused here
        self.host = host
        self._logs = logs
        self._name, self._seed = order.name, order.seed
        self._written = dict(order.written)
        self._entered: list[int] = []
        self._before = dict.fromkeys(_CARRIED, 0)  # totals of those that have died
        self._seen = dict.fromkeys(_CARRIED, 0)
        self._cpu_before = 0.0
        self._cpu_seen = 0.0
        self._work_before = 0
        self._work_seen = 0
        self._start()

    def _start(self) -> None:
        warm_policies(self._name)
        order = Order(self._name, self._seed, dict(self._written))
        self._worker = Worker(self._name, run_policy, self.host, self._logs, order, preload=PRELOAD)
        self._knobs: dict[str, int] = self._worker.call("knobs")

    def enter(self, mm: int) -> None:
        """An address space may be scanned from now on."""
        if mm not in self._entered:
            self._entered.append(mm)
        self._worker.call("enter", mm)

    def exit(self, mm: int) -> None:
        """An address space has ended."""
        if mm in self._entered:
            self._entered.remove(mm)
        self._worker.call("exit", mm)

    def scan(self, pages: int) -> int:
        """One batch. Returns pages looked at."""
        scanned, self._knobs, nanoseconds = self._worker.call("scan", pages)
        self._work_seen = self._work_before + int(nanoseconds)
        self._seen["pages_scanned"] += scanned
        return int(scanned)

    def charge(self, now_ms: int, cpu_ms: int) -> None:
        """Its clock, and the CPU time that it has had."""
        self._worker.call("charge", now_ms, cpu_ms)

    def get(self, knob: str) -> int:
        """A tunable's value."""
        return self._knobs[knob]

    def set(self, knob: str, text: str) -> None:
        """Write a tunable. Raises KnobError."""
        self._worker.call("set", knob, text)
        self._knobs = self._worker.call("knobs")
        self._written.pop(knob, None)
        self._written[knob] = text

    def counters(self) -> dict[str, int]:
        """Its figures by name; totals go on where one that died left off."""
        values: dict[str, int] = self._worker.call("counters")
        values |= {name: values[name] + self._before[name] for name in _CARRIED if name in values}
        self._seen = {name: values.get(name, 0) for name in _CARRIED}
        return values

    def ksm_stat(self, mm: int) -> dict[str, int]:
        """Figures of one address space, under KSM's names."""
        values: dict[str, int] = self._worker.call("ksm_stat", mm)
        return values

    @property
    def bill_ns(self) -> int:
        """work_ns up to the end of the last batch, without asking."""
        return self._work_seen

    def work_ns(self) -> int:
        """CPU time that it has used by its price list, nanoseconds."""
        nanoseconds, _ = self._worker.call("work")
        self._work_seen = self._work_before + int(nanoseconds)
        return self._work_seen

    def work(self) -> dict[str, int]:
        """What it has done since it was last started, by operation of the price list."""
        _, done = self._worker.call("work")
        return dict(done)

    def check(self) -> None:
        """Verify its records and the host; raises InvariantError. While every guest stands."""
        self._worker.call("check")

    def detach(self) -> None:
        """Have it let go of everything that it holds on the host."""
        self._worker.call("detach")

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
        """After its death, while every guest stands: mend the host and start again."""
        self._worker.close()
        self.host.recover()
        for mm in [m for m, state in enumerate(self.host.arrays.mms["state"]) if state == MM_DEAD]:
            self.host.release(mm)
        self._cpu_before, self._work_before, self._before = self._cpu_seen, self._work_seen, dict(self._seen)
        self._start()
        for mm in self._entered:
            self._worker.call("enter", mm)

    def close(self) -> None:
        """End the process."""
        self._worker.close()
