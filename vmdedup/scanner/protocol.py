"""What a run asks of a ksmd, in whichever process it works."""

from __future__ import annotations

from typing import Protocol


class Scanner(Protocol):
    """One ksmd on one host."""

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

    def tally(self) -> tuple[int, ...] | None:
        """After a batch: the counters that tell how long it took (ksm.prices.Tally); None if it is no ksmd."""

    def work_done(self) -> dict[str, int]:
        """How often each operation of the price list was done so far; nothing if nobody counts them."""

    def cpu_seconds(self) -> float:
        """CPU time that its process has really had."""

    @property
    def pid(self) -> int:
        """Its process id."""

    def close(self) -> None:
        """End it."""
