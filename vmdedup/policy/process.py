"""A policy in a process of its own, as ksm.daemon is for ksmd.

What the fork server loads and warms is said beforehand, by warm_policies(): compiled code of every policy there is
would make each worker larger.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from vmdedup.host.logs import LogChannel
from vmdedup.host.memory import Host
from vmdedup.host.workers import Worker, serve, settle
from vmdedup.ksm.prices import bill_ns
from vmdedup.policy.table import load_policy
from vmdedup.policy.work import PRICES_NS
from vmdedup.scanner.process import ScannerProcess, commands_of

PRELOAD = "vmdedup.policy.preload"
WARM = "VMDEDUP_WARM_POLICIES"  # in the fork server's environment: names of policies, a line each


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

    def charge(now_ms: int, cpu_ms: int) -> dict[str, int]:
        policy.charge(now_ms, cpu_ms)
        return policy.knobs()

    serve(pipe, commands_of(policy, policy.batch, charge=charge, detach=policy.detach))


class PolicyProcess(ScannerProcess):
    """One policy on one host. logs: where its process's log records go."""

    def __init__(self, host: Host, order: Order, logs: LogChannel | None = None) -> None:
        self.kind = load_policy(order.name)  # so that a bad name is refused here
        self._logs = logs
        self._name, self._seed = order.name, order.seed
        self.prices: Mapping[str, float] = PRICES_NS
        super().__init__(host, order.written)

    def _start(self, again: bool) -> Worker:
        warm_policies(self._name)
        order = Order(self._name, self._seed, dict(self._written))
        return Worker(f"policy {self._name}", run_policy, self.host, self._logs, order, preload=PRELOAD)

    def charge(self, now_ms: int, cpu_ms: int) -> None:
        """Its clock, and the CPU time that it has had; tunables may be others afterwards."""
        self._knobs = self._worker.call("charge", now_ms, cpu_ms)

    @property
    def bill_ns(self) -> int:
        """CPU time by its price list up to the end of the last batch, without asking. Nanoseconds."""
        return bill_ns(self.work_done(), self.prices)

    def work_ns(self) -> int:
        """CPU time that it has used by its price list, nanoseconds."""
        self._work_seen = self._worker.call("work_done")
        return self.bill_ns

    def work(self) -> dict[str, int]:
        """What it has done since it was last started, by operation of the price list."""
        return dict(self._worker.call("work_done"))

    def detach(self) -> None:
        """Have it let go of everything that it holds on the host."""
        self._worker.call("detach")
