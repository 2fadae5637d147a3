"""A scanner of a host's memory in a process of its own, whichever it is: the same face as in one's own, over a pipe.

If the process is killed, the next call raises WorkerDiedError. Then the caller has every guest stand between two
operations and calls revive(): host memory is counted afresh, and a new scanner attaches to the host as it is, with the
same tunables and address spaces.

What the fork server loads and warms is said beforehand, by warm_scanners(): compiled code of every scanner there is
would make each worker larger.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from typing import Any, Final

from vmdedup.host.layout import MM_DEAD
from vmdedup.host.logs import LogChannel
from vmdedup.host.memory import Host
from vmdedup.host.workers import Worker, serve, settle, tell_server
from vmdedup.ksm.prices import Tally, bill_ns
from vmdedup.ksm.profile import DEFAULT, Profile
from vmdedup.policy.base import Policy
from vmdedup.policy.table import POLICIES, load_policy
from vmdedup.policy.work import PRICES_NS

PRELOAD: Final = "vmdedup.scanner.preload"
WARM: Final = "VMDEDUP_WARM_SCANNERS"  # in the fork server's environment: names of policies, a line each
# What goes on where one that died left off.
CARRIED: Final = ("full_scans", "pages_scanned", "pages_skipped", "looks", "adjustments")
_warm: dict[str, None] = {}  # names, in order
_ASKED: Final = ("enter", "exit", "set", "knobs", "counters", "ksm_stat", "check", "work_done", "detach", "relocate")


@dataclass(frozen=True)
class Order:
    """Which scanner is wanted: name as load_policy takes it, seed, tunables to write, in order; as of which Linux."""

    name: str = "ksm"
    seed: int = 0
    written: dict[str, str] = field(default_factory=dict)
    profile: Profile = DEFAULT

    @property
    def label(self) -> str:
        """What messages call it."""
        return "ksmd" if self.name == "ksm" else f"policy {self.name}"


def warm_scanners(*names: str) -> None:
    """Have the fork server load these policies too; without effect once it runs, but for their first batches.

    Policies of a user's own are left out: one that ends its process would end the server.
    """
    _warm.update((name, None) for name in names if name in POLICIES)
    tell_server(WARM, "\n".join(_warm))


def run_scanner(pipe: Connection, host: Host, logs: LogChannel | None, order: Order, takes_over: bool) -> None:
    """The whole life of the process. takes_over: what is merged on the host is another's, that has died."""
    settle()
    if logs is not None:
        logs.attach()
    scanner = load_policy(order.name)(host, order.seed)
    scanner.as_of(order.profile)
    # Tunables first: some are refused once there are merged pages.
    for knob, text in order.written.items():
        scanner.set(knob, text)
    if takes_over:
        scanner.take_over()
    serve(pipe, commands_of(scanner))


def commands_of(scanner: Policy) -> dict[str, Callable[..., Any]]:
    """What the process has to obey, for host.workers.serve: what every scanner is asked, and what it has besides."""

    def charge(now_ms: int, cpu_ms: int) -> dict[str, int]:
        scanner.charge(now_ms, cpu_ms)
        return scanner.knobs()

    return {
        **{name: getattr(scanner, name) for name in _ASKED},
        "charge": charge,
        "cpu_seconds": time.process_time,
        "scan": lambda pages: (scanner.batch(pages), scanner.knobs(), scanner.work_done(), scanner.tally()),
        **scanner.commands(),
    }


class ScannerProcess:
    """One scanner on one host. logs: where its process's log records go.

    kind: its class. prices: what its operations are billed at, nanoseconds.
    """

    def __init__(self, host: Host, order: Order, logs: LogChannel | None = None) -> None:
        self.host = host
        self.kind = load_policy(order.name)  # so that a bad name is refused here
        self.prices: Mapping[str, float] = PRICES_NS
        self._order, self._logs = order, logs
        self._written = dict(order.written)  # in the order of the last writes, for one that takes over
        self._entered: list[int] = []
        self._before = dict.fromkeys(CARRIED, 0)  # totals of those that have died
        self._seen = dict.fromkeys(CARRIED, 0)
        self._cpu_before = 0.0
        self._cpu_seen = 0.0
        self._knobs: dict[str, int] = {}  # none: not known yet
        self._work_before: Counter[str] = Counter()
        self._work_seen: dict[str, int] = {}  # of the process that is there
        self._tally: Tally | None = None
        self._worker = self._start(False)

    def _start(self, again: bool) -> Worker:
        """A new process, whose tunables are as written. again: it takes over from one that has died."""
        warm_scanners(self._order.name)
        order = replace(self._order, written=dict(self._written))
        return Worker(order.label, run_scanner, self.host, self._logs, order, again, preload=PRELOAD)

    def ask(self, command: str, *arguments: Any) -> Any:
        """Anything of what its class tells in commands()."""
        return self._worker.call(command, *arguments)

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

    def relocate(self, mm: int, node: int) -> int:
        """Take an address space to a NUMA node. Returns how many frames stay where they are."""
        return int(self._worker.call("relocate", mm, node))

    def scan(self, pages: int) -> int:
        """One batch. Returns pages scanned, or looked at."""
        scanned, self._knobs, self._work_seen, self._tally = self._worker.call("scan", pages)
        self._seen["pages_scanned"] += scanned
        return int(scanned)

    def tally(self) -> Tally | None:
        """After the last batch: the counters that tell how long it took, of one that is a ksmd."""
        return self._tally

    def work_done(self) -> dict[str, int]:
        """How often each operation was done, up to the end of the last batch, by all processes that there were."""
        return dict(self._work_before + Counter(self._work_seen))

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

    def charge(self, now_ms: int, cpu_ms: int) -> None:
        """Its clock, and the CPU time that it has had; tunables may be others afterwards."""
        self._knobs = self._worker.call("charge", now_ms, cpu_ms)

    def get(self, knob: str) -> int:
        """A tunable's value, without asking if it is known."""
        self._knobs = self._knobs or self._worker.call("knobs")
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
        values |= {name: values[name] + self._before[name] for name in CARRIED if name in values}
        self._seen = {name: values.get(name, 0) for name in CARRIED}
        return values

    def ksm_stat(self, mm: int) -> dict[str, int]:
        """The figures of /proc/PID/ksm_stat, as far as it has them."""
        values: dict[str, int] = self._worker.call("ksm_stat", mm)
        return values

    def check(self) -> None:
        """Verify its records; raises InvariantError. While every guest stands."""
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
        """After its death, while every guest stands: mend the host and start again, keeping what is shared."""
        self._worker.close()
        self.host.recover()
        for mm in [m for m, state in enumerate(self.host.arrays.mms["state"]) if state == MM_DEAD]:
            self.host.release(mm)
        self._cpu_before, self._before = self._cpu_seen, dict(self._seen)
        self._work_before += Counter(self._work_seen)
        self._work_seen = {}
        self._knobs = {}
        self._worker = self._start(True)
        for mm in self._entered:
            self._worker.call("enter", mm)

    def close(self) -> None:
        """End the process."""
        self._worker.close()
