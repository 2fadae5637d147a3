"""A policy in ksmd's place: fills replay.emulated.Engine."""

from __future__ import annotations

from collections.abc import Sequence

from vmdedup.errors import VmdedupError
from vmdedup.host.memory import Host
from vmdedup.host.mover import Moved
from vmdedup.policy.base import Policy
from vmdedup.replay.machine import LacksStepError

BATCH, MOST_BATCHES = 64, 4096


class PolicyEngine:
    """Any policy. Tunables of KSM's that it does not have are taken and forgotten."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._host: Host = policy.host
        self._entered: set[int] = set()

    def enter(self, mm: int) -> None:
        """MADV_MERGEABLE."""
        if mm not in self._entered:
            self._entered.add(mm)
            self.policy.enter(mm)

    def exit(self, mm: int) -> None:
        """An address space has ended."""
        if mm in self._entered:
            self._entered.remove(mm)
            self.policy.exit(mm)
        else:
            self._host.release(mm)

    def fork(self, parent: int, child: int) -> None:
        """A child is scanned if its parent was."""
        if parent in self._entered:
            self.enter(child)

    def set(self, knob: str, text: str) -> None:
        """Write a tunable, if it has that. KnobError: it refuses the value."""
        if knob in self.policy.all_tunables():
            self.policy.set(knob, text)

    def get(self, knob: str) -> int:
        """A tunable's value."""
        return self.policy.get(knob)

    def move(self, mm: int, pages: Sequence[int], node: int, everybody: bool) -> Moved:
        """Nothing that policies do."""
        raise LacksStepError("migrate")

    def unfound(self) -> list[int]:
        """None."""
        return []

    def scan(self, pages: int) -> int:
        """One batch."""
        return self.policy.scan(pages)

    def full_scan(self) -> int:
        """To the end of its full scan. VmdedupError: it never ends one."""
        scans, done = self.policy.counters()["full_scans"], 0
        for _ in range(MOST_BATCHES):
            looked = self.policy.scan(BATCH)
            done += looked
            if self.policy.counters()["full_scans"] != scans or looked == 0:
                return done
        raise VmdedupError(f"{MOST_BATCHES} batches of {BATCH} pages and no full scan has ended; count full_scans")

    def counters(self) -> dict[str, int]:
        """Its figures."""
        return self.policy.counters()

    def ksm_stat(self, mm: int) -> dict[str, int]:
        """Its figures of one address space."""
        return self.policy.ksm_stat(mm)

    def check(self) -> None:
        """Its records against the host."""
        self.policy.check()

    def close(self) -> None:
        """Let go of what it holds."""
        self.policy.detach()
