"""No deduplication at all: the floor of every comparison."""

from __future__ import annotations

from typing import ClassVar

from vmdedup.host.memory import Host
from vmdedup.policy.base import Policy


class NoPolicy(Policy):
    """Leaves every page alone."""

    name: ClassVar[str] = "none"
    source: ClassVar[str] = "the floor"

    def __init__(self, host: Host, seed: int = 0) -> None:
        super().__init__(host, seed)

    def enter(self, mm: int) -> None:
        """Nothing is to be remembered."""

    def exit(self, mm: int) -> None:
        """Its record may be used again."""
        self.host.release(mm)

    def scan(self, pages: int) -> int:
        """Looks at nothing."""
        return 0

    def counters(self) -> dict[str, int]:
        """All zero."""
        return {"full_scans": 0, "pages_scanned": 0, "pages_shared": 0, "pages_sharing": 0}
