"""The law of oVirt's Memory Overcommitment Manager. Source: oVirt MOM, KSM part of its policy mom-balloon.policy."""

from __future__ import annotations

from dataclasses import dataclass

from vmdedup.policy.controllers.readings import Readings, Setting

SLEEP_BASE_KIB = 16 * 1024 * 1024


@dataclass(frozen=True)
class MomLaw:
    """The policy's constants. free_percent: below it the host is under pressure."""

    sleep_ms_baseline: int = 10
    pages_boost: int = 300
    pages_decay: int = -50
    npages_min: int = 64
    npages_max: int = 1250
    free_percent: int = 20

    def adjust(self, read: Readings, average_free: float, pages_to_scan: int) -> Setting:
        """What it writes. average_free: KiB, over its last samples; pages_to_scan: as ksmd has it now.

        Guests count with their whole size. The time to sleep has no least value: 0 beyond 160 GiB.
        """
        threshold = read.total * self.free_percent / 100
        if threshold + read.virtual < read.total and average_free > threshold:
            return Setting(run=False)
        change = self.pages_boost if average_free < threshold else self.pages_decay
        pages = max(min(pages_to_scan + change, self.npages_max), self.npages_min)
        return Setting(True, pages, self.sleep_ms_baseline * SLEEP_BASE_KIB // read.total)
