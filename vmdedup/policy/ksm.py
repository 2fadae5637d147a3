"""Linux's KSM, a policy as all others are; what scans where a scenario names none.

The engine is loaded where it scans: a run's own process only asks this class how it is to be driven.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from vmdedup.ksm.prices import Tally
from vmdedup.ksm.profile import Profile
from vmdedup.ksm.sysfs import TUNABLES, Tunable
from vmdedup.policy.base import Policy

if TYPE_CHECKING:
    from vmdedup.host.memory import Host
    from vmdedup.ksm.ksmd import Ksmd


class Ksm(Policy):
    """ksm.ksmd behind the protocol; see docs/fidelity.md for what it decides."""

    name: ClassVar[str] = "ksm"
    source: ClassVar[str] = "Linux 6.18, mm/ksm.c"
    tunables: ClassVar[Mapping[str, Tunable]] = TUNABLES
    is_tallied: ClassVar[bool] = True

    def __init__(self, host: Host, seed: int = 0) -> None:
        super().__init__(host, seed)
        self._ksmd = self._make_ksmd(host)
        self._ksmd.set("run", "1")
        self._adopted = False

    def _make_ksmd(self, host: Host) -> Ksmd:
        from vmdedup.ksm.ksmd import Ksmd

        return Ksmd(host)

    def as_of(self, profile: Profile) -> None:
        """Do as that version does."""
        self._ksmd.as_of(profile)

    def take_over(self) -> None:
        """Take what one before it has merged for its own."""
        if not self._adopted:
            self._adopted = True
            self._ksmd.take_over()

    def enter(self, mm: int) -> None:
        """MADV_MERGEABLE."""
        self.take_over()
        self._ksmd.enter(mm)

    def exit(self, mm: int) -> None:
        """ksmd forgets the address space when it comes by."""
        self._ksmd.exit(mm)

    def relocate(self, mm: int, node: int) -> int:
        """Merged pages go along."""
        return self._ksmd.relocate(mm, node)

    def scan(self, pages: int) -> int:
        """One batch of ksmd; it ends at the end of the full scan."""
        return self._ksmd.scan(pages)

    def batch(self, pages: int) -> int:
        """scan(): ksmd counts its own batches."""
        return self.scan(pages)

    def work_done(self) -> dict[str, int]:
        """What ksmd has done, and what a policy around it has."""
        return dict(self.work.done + Counter(self._ksmd.work_done()))

    def tally(self) -> Tally:
        """As a ksmd without a policy."""
        return self._ksmd.tally()

    def charge(self, now_ms: int, cpu_ms: int) -> None:
        """Its clock and its CPU time; the advisor looks at both."""
        super().charge(now_ms, cpu_ms)
        self._ksmd.charge(now_ms, cpu_ms)

    def get(self, knob: str) -> int:
        """As /sys/kernel/mm/ksm has it."""
        return self._ksmd.get(knob)

    def set(self, knob: str, text: str) -> None:
        """As a write to /sys/kernel/mm/ksm."""
        self._ksmd.set(knob, text)

    def knobs(self) -> dict[str, int]:
        """Every file of /sys/kernel/mm/ksm that can be written."""
        return self._ksmd.knobs()

    def counters(self) -> dict[str, int]:
        """The counters of /sys/kernel/mm/ksm."""
        return self._ksmd.counters()

    def ksm_stat(self, mm: int) -> dict[str, int]:
        """The figures of /proc/PID/ksm_stat."""
        return self._ksmd.ksm_stat(mm)

    def commands(self) -> dict[str, Callable[..., Any]]:
        """What scripts ask of a ksmd besides."""
        ksmd = self._ksmd
        return {name: getattr(ksmd, name) for name in ("fork", "full_scan", "metadata_bytes", "move", "unfound")}

    def rehearse(self) -> None:
        """Unmerging, and taking over, too."""
        from vmdedup.ksm import adopt

        super().rehearse()
        self.set("run", "2")
        self.set("max_page_sharing", "16")
        adopt.adopt_ksm_frames(self.host.arrays, self._ksmd.arrays)
        self._ksmd.check()

    def check(self) -> None:
        """Trees, lists and counters too."""
        super().check()
        self._ksmd.check()
