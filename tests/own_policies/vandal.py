"""A policy that breaks what every policy has to keep to: it writes into guests' pages, and looks at too many."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from vmdedup.host.layout import FRAME_MASK, FRAME_SHIFT, PRESENT
from vmdedup.policy.base import Policy


class Vandal(Policy):
    """Changes a byte of a page now and then."""

    name: ClassVar[str] = "vandal"
    source: ClassVar[str] = "a test"

    def enter(self, mm: int) -> None:
        """Nothing."""

    def exit(self, mm: int) -> None:
        """Its record may be used again."""
        self.host.release(mm)

    def scan(self, pages: int) -> int:
        """Write where nobody may."""
        entries = self.host.arrays.pte[(self.host.arrays.pte & PRESENT) != 0]
        frames = np.unique((entries >> FRAME_SHIFT) & FRAME_MASK)
        self.host.arrays.bytes[frames[frames != 0][:1], 9] += 7
        return pages + 1

    def counters(self) -> dict[str, int]:
        """All zero."""
        return {"full_scans": 0, "pages_scanned": 0, "pages_shared": 0, "pages_sharing": 0}
