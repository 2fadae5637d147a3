"""KSM with the kernel's own advisor on."""

from __future__ import annotations

from typing import ClassVar

from vmdedup.host.memory import Host
from vmdedup.ksm.ksmd import SCAN_TIME
from vmdedup.policy.ksm import Ksm


class Advised(Ksm):
    """KSM with advisor_mode=scan-time: pages_to_scan is such that a full scan takes advisor_target_scan_time.

    The kernel refuses to have pages_to_scan written meanwhile. Here that says what the advisor starts from, as
    advisor_min_pages_to_scan does, so that a schedule which is the same for all policies can be asked for.
    """

    name: ClassVar[str] = "advisor"
    source: ClassVar[str] = "Linux 6.18, mm/ksm.c:scan_time_advisor"

    def __init__(self, host: Host, seed: int = 0) -> None:
        super().__init__(host, seed)
        self._ksmd.set("advisor_mode", "scan-time")

    def set(self, knob: str, text: str) -> None:
        """As a write to /sys/kernel/mm/ksm, but for pages_to_scan."""
        if knob != "pages_to_scan" or self.get("advisor_mode") != SCAN_TIME:
            super().set(knob, text)
            return
        least = self.get("advisor_min_pages_to_scan")
        super().set("advisor_min_pages_to_scan", str(self.tunables[knob].parse(text)))
        super().set("advisor_mode", "none")
        super().set("advisor_mode", "scan-time")
        super().set("advisor_min_pages_to_scan", str(least))
