"""The law of KubeVirt's node agent. Source: kubevirt, pkg/virt-handler/ksm/ksm.go:calculateNewRunSleepAndPages."""

from __future__ import annotations

from dataclasses import dataclass

from vmdedup.policy.controllers.readings import Readings, Setting

SLEEP_BASE_KIB = 16 * 1024 * 1024


@dataclass(frozen=True)
class KubevirtLaw:
    """Its defaults; a node's annotations override them."""

    pages_boost: int = 300
    pages_decay: int = -50
    pages_min: int = 64
    pages_max: int = 1250
    pages_init: int = 100
    sleep_ms_baseline: int = 100
    free_percent: int = 20

    def sleep(self, read: Readings) -> int:
        """sleep_millisecs: less the more memory is used, and not less than a tenth of the baseline."""
        used = max(1, read.total - read.free)
        return max(self.sleep_ms_baseline // 10, self.sleep_ms_baseline * SLEEP_BASE_KIB // used)

    def adjust(self, read: Readings, running: bool, pages_to_scan: int) -> Setting:
        """What it writes. running, pages_to_scan: as ksmd has them now."""
        if read.free * 100 > read.total * self.free_percent:
            pages = pages_to_scan + self.pages_decay
            if not running or pages < self.pages_min:
                return Setting(run=False)
            return Setting(True, pages, self.sleep(read))
        pages = min(pages_to_scan + self.pages_boost, self.pages_max) if running else self.pages_init
        return Setting(True, pages, self.sleep(read))
