"""KSM under Clear Containers' throttler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vmdedup.host.memory import Host
from vmdedup.ksm.sysfs import Tunable
from vmdedup.policy.controllers.base import Controlled
from vmdedup.policy.controllers.readings import Setting
from vmdedup.policy.controllers.throttler_law import AGGRESSIVE, INITIAL, NEXT, PACES
from vmdedup.policy.controllers.tunables import controlled, seconds

NEVER_S = 1 << 31


class ClearContainers(Controlled):
    """KSM under the Clear Containers throttler: fast after a guest has started, then slower, then as it was.

    pages_to_scan is a share of the pages that are mapped when a pace begins: the aggressive one at the first batch
    after the start, when no guest is at work, so that the same seed does the same.
    """

    name: ClassVar[str] = "clear_containers"
    source: ClassVar[str] = "clearcontainers/proxy, docs/ksm.md; kata-containers/ksm-throttler, ksm.go"
    tunables: ClassVar[Mapping[str, Tunable]] = controlled(
        seconds("aggressive_seconds", 30, "how long it is aggressive after the last start of a guest"),
        seconds("standard_seconds", 120, "how long it is at the standard pace then"),
        seconds("slow_seconds", 120, "how long it is slow, before ksmd is left as it was"),
        Tunable("host_pages", 25_600, "anonymous pages of the host's own processes: an assumption", "pages"),
    )

    def __init__(self, host: Host, seed: int = 0) -> None:
        super().__init__(host, seed)
        self._pace = INITIAL
        self._started = False  # whether a guest has, since it last looked
        self._initial = Setting(run=True)

    def enter(self, mm: int) -> None:
        """A guest has started: aggressive from now on."""
        super().enter(mm)
        if self._pace == INITIAL:
            knobs = self._ksmd.knobs()
            self._initial = Setting(self.runs, knobs["pages_to_scan"], knobs["sleep_millisecs"])
        self._started = True
        self._due = self.now_ms

    def _begin(self, pace: str) -> Setting:
        self._pace = pace
        if pace == INITIAL:
            return self._initial
        return PACES[pace].setting(self.read().anonymous_pages + self._own["host_pages"])

    def first_wait_s(self) -> int:
        """It waits for the first guest."""
        return NEVER_S

    def wait_s(self) -> int:
        """How long the pace that has begun lasts."""
        return self._own.get(f"{self._pace}_seconds", NEVER_S)

    def adjust(self) -> Setting | None:
        """The next slower pace, or the aggressive one because of a guest that has started."""
        started, self._started = self._started, False
        if started:
            return self._begin(AGGRESSIVE)
        return self._begin(NEXT[self._pace]) if self._pace != INITIAL else None
