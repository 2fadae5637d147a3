"""What a run asks of who scans its host's memory: ksmd, the kernel's own, or a policy, in whichever process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from vmdedup.ksm.prices import Tally
from vmdedup.policy.base import Policy


class Scanner(Protocol):
    """One scanner on one host.

    kind: the policy that it is of; the kernel's ksmd is a policy.ksm.Ksm. prices: what its operations are billed at,
    nanoseconds.
    """

    prices: Mapping[str, float]

    @property
    def kind(self) -> type[Policy]:
        """Its class, which tells how it is to be driven: keeps_budget, is_steered, is_tallied, its tunables."""

    def enter(self, mm: int) -> None:
        """An address space has mergeable memory from now on."""

    def exit(self, mm: int) -> None:
        """An address space has ended."""

    def scan(self, pages: int) -> int:
        """One batch; returns the pages scanned."""

    def charge(self, now_ms: int, cpu_ms: int) -> None:
        """Its clock, and the CPU time that it has had; the advisor looks at both."""

    def get(self, knob: str) -> int:
        """A tunable's value."""

    def set(self, knob: str, text: str) -> None:
        """Write a tunable. Raises KnobError."""

    def counters(self) -> dict[str, int]:
        """The counters of /sys/kernel/mm/ksm by name."""

    def ksm_stat(self, mm: int) -> dict[str, int]:
        """The figures of /proc/PID/ksm_stat."""

    def tally(self) -> Tally | None:
        """After a batch: the counters that tell how long it took (ksm.prices.Tally); None if it is no ksmd."""

    @property
    def bill_ns(self) -> int:
        """CPU time that it has used by its prices, up to the end of the last batch."""

    def work_done(self) -> dict[str, int]:
        """How often each operation of the price list was done so far; nothing if nobody counts them."""

    def cpu_seconds(self) -> float:
        """CPU time that its process has really had."""

    @property
    def pid(self) -> int:
        """Its process id."""

    def close(self) -> None:
        """End it."""


class Mortal(Scanner, Protocol):
    """A scanner in a process that may be killed."""

    def revive(self) -> None:
        """After its death, while every guest stands: mend the host and start again."""

    def relocate(self, mm: int, node: int) -> int:
        """Take an address space to a NUMA node, while every guest stands. Returns how many frames stay."""

    def check(self) -> None:
        """Verify its records; raises InvariantError. While every guest stands."""
