"""khugepaged: the daemon that puts pages together to huge ones. Source: Documentation/admin-guide/mm/transhuge.rst."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vmdedup.errors import KnobError
from vmdedup.host.collapse import scan_for_huge
from vmdedup.host.memory import Host
from vmdedup.host.thp import TUNABLES


class Khugepaged:
    """khugepaged on one host. Time is told to it."""

    def __init__(self, host: Host, knobs: Mapping[str, int] | None = None) -> None:
        """knobs: of TUNABLES, those that are not as usual."""
        self._h = host.arrays
        self._knobs = {name: default for name, (default, _) in TUNABLES.items()} | dict(knobs or {})
        self._cursor = np.array([1, 0], np.int64)
        self._rest_ms = 0

    def get(self, knob: str) -> int:
        """A tunable's value."""
        return self._knobs[knob]

    def set(self, knob: str, text: str) -> None:
        """Write a tunable. KnobError: ENOENT, EINVAL."""
        if knob not in TUNABLES:
            raise KnobError(knob, text, "ENOENT")
        if not text.isascii() or not text.isdecimal() or int(text) > TUNABLES[knob][1] or text == knob:
            raise KnobError(knob, text, "EINVAL")
        if knob == "pages_to_scan" and int(text) == 0:
            raise KnobError(knob, text, "EINVAL")
        self._knobs[knob] = int(text)
        if knob.endswith("sleep_millisecs"):
            self._rest_ms = 0  # a store wakes it: it sleeps anew

    def run(self, milliseconds: int) -> int:
        """Let so much time pass. Returns how many huge pages were made meanwhile."""
        sleep = max(1, self._knobs["scan_sleep_millisecs"])
        wakes, self._rest_ms = divmod(self._rest_ms + milliseconds, sleep)
        limits = np.array([self._knobs["max_ptes_none"], self._knobs["max_ptes_shared"]], np.int64)
        return sum(scan_for_huge(self._h, self._cursor, self._knobs["pages_to_scan"], limits) for _ in range(wakes))
