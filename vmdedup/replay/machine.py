"""What a KSM script is played on: one protocol, filled by the emulator and by the host's own kernel.

Pages are numbered from 0 inside a process's one mapping; ranges `lo, hi` include both ends. The player checks
nothing: a script was validated when it was parsed, so names exist and pages lie inside their mapping.
"""

from __future__ import annotations

from typing import Any, Protocol

from vmdedup.replay.content import Content


class Machine(Protocol):
    """Processes, their memory, and one ksmd, in the start state of the script specification."""

    def vm(self, name: str, pages: int) -> None:
        """Start a process with one private anonymous mapping: small pages, advised mergeable, untouched."""

    def fork(self, name: str, child: str) -> None:
        """Fork the process; the child inherits the mapping copy-on-write, and its advice."""

    def exit(self, name: str) -> None:
        """End the process; its memory is gone when this returns."""

    def fill(self, name: str, lo: int, hi: int, content: Content) -> None:
        """Store content in each page of the range, ascending; page lo gets the content of index 0."""

    def poke(self, name: str, page: int, offset: int, byte: int) -> None:
        """Store one byte, also when it is there already."""

    def read(self, name: str, lo: int, hi: int) -> None:
        """Load one byte of each page."""

    def discard(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_DONTNEED)."""

    def unmap(self, name: str, lo: int, hi: int) -> None:
        """munmap; no later call names these pages; digest and sharing leave them out."""

    def mergeable(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_MERGEABLE)."""

    def unmergeable(self, name: str, lo: int, hi: int) -> None:
        """madvise(MADV_UNMERGEABLE)."""

    def set(self, knob: str, value: str) -> None:
        """Write a tunable of /sys/kernel/mm/ksm as text. KnobError: the value is refused."""

    def scan(self, pages: int) -> None:
        """Let ksmd scan one batch of at most that many pages; it ends early at the end of a full scan."""

    def full_pass(self, times: int = 1) -> None:
        """Let ksmd scan to the end of the current full scan, that many times."""

    def counters(self) -> dict[str, Any]:
        """The counters in the order of the specification.

        pages_scanned and pages_skipped count from the start of the script. The last key, "vms", has for each
        living process, in order of creation, its four figures of /proc/PID/ksm_stat.
        """

    def sharing(self) -> list[list[str]]:
        """Sorted groups of "name:page" that share one physical page; groups of one are left out."""

    def digest(self) -> dict[str, str]:
        """SHA-256 in hex of each living process's mapped pages in order; reads each page.

        Processes stand in order of creation.
        """

    def close(self) -> None:
        """End all processes and give back what the machine took. Harmless when done already."""
