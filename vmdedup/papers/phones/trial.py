"""One policy on one phone, both in this process: virtual time, no processes to wait for, so that many runs take little.

What the policy and the phone do is what they do in a scenario's run in lockstep with batches of one tick.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from vmdedup.guest.diskspec import DiskSpec, open_disk
from vmdedup.guest.machine import Guest
from vmdedup.guest.spec import GuestSpec
from vmdedup.host.memory import Host
from vmdedup.papers.bench.guests import options_of_the_time
from vmdedup.policy.base import Policy
from vmdedup.policy.table import load_policy
from vmdedup.policy.work import GUEST_PRICES_NS
from vmdedup.scanner.budget import CpuBudget

TICK_MS: Final = 100
BATCHES: Final = 5  # a tick: one every 20 ms
PAGES_PER_MIB: Final = 256
_PAID: Final = {"cow_break": ("cow_ksm", "zero_cow"), "unpatch": ("unpatched",), "uncompress": ("uncompressed",)}


@dataclass(frozen=True)
class Phone:
    """A phone and for how long it is used. parameters: of the workload. disk_mib: of its generated disk.

    seed: of what is drawn by lot, in the phone and in the policy.
    """

    mib: int
    seconds: int
    parameters: Mapping[str, Any]
    disk_mib: int = 24
    seed: int = 1

    def make(self, host: Host) -> tuple[Guest, int]:
        """The phone on a host, powered on, and the number of its address space."""
        disk = DiskSpec(kind="generated", mib=self.disk_mib)
        pages, parameters = self.mib * PAGES_PER_MIB, self.parameters
        options = {"workload": "phone", "parameters": parameters, "kernel_mib": 2, "seed": self.seed}
        given = GuestSpec("phone", pages, disk, **options_of_the_time(options))
        memory = host.add(pages, "phone")
        guest = Guest(given, memory, open_disk(disk))
        guest.boot()
        return guest, memory.mm


@dataclass(frozen=True)
class Outcome:
    """series: MiB saved after each tick. work: ms of CPU by the price list. guests: ms that saving cost the phone."""

    series: list[float] = field(repr=False)
    work: float
    guests: float

    @property
    def saved(self) -> float:
        """MiB on average over time."""
        return sum(self.series) / len(self.series)

    @property
    def price(self) -> float:
        """Work for each MiB that is saved on average."""
        return self.work / max(self.saved, 1e-9)

    @property
    def times(self) -> list[float]:
        """Seconds, of the series."""
        return [(1 + number) * TICK_MS / 1000 for number in range(len(self.series))]


def trial(phone: Phone, name: str, pages: int, knobs: Mapping[str, int] | None = None, share: float = 0) -> Outcome:
    """A phone's life under a policy. pages: every 20 ms; with a share of one core, as many as that pays for instead."""
    host = Host.create(phone.mib * PAGES_PER_MIB, mms=2)
    try:
        guest, mm = phone.make(host)
        policy = load_policy(name)(host, phone.seed)
        for knob, value in {**_zero_pages(policy), **(knobs or {})}.items():
            policy.set(knob, str(value))
        policy.enter(mm)
        budget = CpuBudget(share) if share else None
        series: list[float] = []
        due = 0
        for _ in range(phone.seconds * 1000 // TICK_MS):
            guest.tick(TICK_MS)
            policy.charge(policy.now_ms + TICK_MS, policy.work_ns() // 1_000_000)
            due = _scan(policy, pages) if budget is None else _spend(policy, budget, due)
            series.append((int(host.allocated()[0].sum()) - host.frames_in_use()) / PAGES_PER_MIB)
        return Outcome(series, policy.work_ns() / 1e6, _guests_ms(host))
    finally:
        host.close()


def _zero_pages(policy: Policy) -> dict[str, int]:
    """KSM maps zero pages to the zero page only if it is told to; all others do."""
    return {"use_zero_pages": 1} if "use_zero_pages" in policy.all_tunables() else {}


def _scan(policy: Policy, pages: int) -> int:
    for _ in range(BATCHES):
        policy.batch(pages)
    return 0


def _spend(policy: Policy, budget: CpuBudget, due: int) -> int:
    """Scan until the next batch is due after this tick. due, and what is returned: when, ns of virtual time."""
    while due < policy.now_ms * 1_000_000:
        before = policy.work_ns()
        looked = policy.batch(budget.pages())
        due += budget.interval(looked, policy.work_ns() - before)
    return due


def _guests_ms(host: Host) -> float:
    times = {price: sum(int(host.arrays.mms[name].sum()) for name in names) for price, names in _PAID.items()}
    return sum(GUEST_PRICES_NS[price] * count for price, count in times.items()) / 1e6
