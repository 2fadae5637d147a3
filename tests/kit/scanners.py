"""Scanners for tests: one that only counts its batches, and a ksmd in a process of its own for scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vmdedup.host.memory import Host
from vmdedup.host.mover import Moved
from vmdedup.ksm.prices import Tally
from vmdedup.ksm.profile import DEFAULT, Profile
from vmdedup.policy.base import Policy
from vmdedup.policy.ksm import Ksm
from vmdedup.scanner.process import Order, ScannerProcess


class Counting:
    """Scans whatever it is asked to, up to `limit` pages a batch, and looks at nothing. Fills scanner.protocol."""

    kind: type[Policy] = Ksm
    bill_ns = pid = 0

    def __init__(self, limit: int = 1 << 30, **knobs: int) -> None:
        self.knobs = {"run": 1, "pages_to_scan": 100, "sleep_millisecs": 20} | knobs
        self.prices: Mapping[str, float] = {}
        self.limit = limit
        self.batches: list[int] = []
        self.charged: list[tuple[int, int]] = []

    def get(self, knob: str) -> int:
        """A tunable's value."""
        return self.knobs[knob]

    def set(self, knob: str, text: str) -> None:
        """Write a tunable."""
        self.knobs[knob] = int(text)

    def scan(self, pages: int) -> int:
        """One batch."""
        self.batches.append(min(pages, self.limit))
        return self.batches[-1]

    def charge(self, now_ms: int, cpu_ms: int) -> None:
        """Keeps what it is told."""
        self.charged.append((now_ms, cpu_ms))

    def tally(self) -> Tally | None:
        """Nothing has been found."""
        return None

    def enter(self, mm: int) -> None:
        """Nothing to know."""

    exit = enter

    def close(self) -> None:
        """Nothing to end."""

    def counters(self) -> dict[str, int]:
        """Nothing is counted."""
        return {}

    work_done = counters

    def ksm_stat(self, mm: int) -> dict[str, int]:
        """Nothing is counted."""
        return {}

    def cpu_seconds(self) -> float:
        """It takes no time."""
        return 0.0


class KsmdProcess(ScannerProcess):
    """A ksmd in a process of its own, with what scripts ask of one. It rests until it is told to run."""

    def __init__(self, host: Host, profile: Profile = DEFAULT) -> None:
        super().__init__(host, Order("ksm", written={"run": "0"}, profile=profile))

    def fork(self, parent: int, child: int) -> None:
        """An address space has been copied."""
        self.ask("fork", parent, child)

    def move(self, mm: int, pages: Sequence[int], node: int, everybody: bool) -> Moved:
        """move_pages(2)."""
        return Moved(*self.ask("move", mm, pages, node, everybody))

    def unfound(self) -> list[int]:
        """Entries that are not found from the KSM frame that they map."""
        return list(self.ask("unfound"))

    def full_scan(self) -> int:
        """Scan to the end of the current full scan. Returns pages scanned."""
        return int(self.ask("full_scan"))

    def metadata_bytes(self) -> dict[str, Any]:
        """Bytes that its records take, by kind."""
        return dict(self.ask("metadata_bytes"))
