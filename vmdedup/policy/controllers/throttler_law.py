"""The law of Clear Containers' and Kata's KSM throttler: fast after each start of a guest, then slower and slower.

Source: clearcontainers/proxy, docs/ksm.md; the three settings: kata-containers/ksm-throttler, ksm.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from vmdedup.policy.controllers.readings import Setting

INITIAL, AGGRESSIVE, STANDARD, SLOW = "initial", "aggressive", "standard", "slow"
NEXT: Final[Mapping[str, str]] = {AGGRESSIVE: STANDARD, STANDARD: SLOW, SLOW: INITIAL, INITIAL: INITIAL}


@dataclass(frozen=True)
class Pace:
    """One page of every `one_in` that are anonymous is scanned in each batch; then ksmd sleeps."""

    one_in: int
    sleep_millisecs: int

    def setting(self, anonymous_pages: int) -> Setting:
        """What is written when it begins."""
        return Setting(True, anonymous_pages // self.one_in, self.sleep_millisecs)


PACES: Final[Mapping[str, Pace]] = {AGGRESSIVE: Pace(10, 1), STANDARD: Pace(100, 10), SLOW: Pace(500, 100)}
