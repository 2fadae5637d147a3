"""Leaving out pages that are unlikely to be shared, in time and in space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vmdedup.host.layout import FILES, FOREGROUND, GRAPHICS
from vmdedup.host.memory import Host
from vmdedup.ksm.sysfs import Tunable
from vmdedup.policy.mobile.areas import Area
from vmdedup.policy.mobile.rounds import RoundPolicy


class Exclusion(RoundPolicy):
    """In space: graphics buffers and files are not looked at. In time: neither are apps in use, or just left.

    That pages were changed a short time ago shows in their hashes, as in KSM. The abstract names these two kinds of
    exclusion and not the segments nor the times, which are tunables here.
    """

    name: ClassVar[str] = "exclusion"
    source: ClassVar[str] = "Kim, Jeong and Lee, Selective memory deduplication, ICCE and TCE 2014 (abstracts)"
    tunables: ClassVar[Mapping[str, Tunable]] = {
        tunable.name: tunable
        for tunable in (
            Tunable("exclude_files", 1, "1: areas of files are not looked at", high=1),
            Tunable("exclude_graphics", 1, "1: graphics buffers are not looked at", high=1),
            Tunable("exclude_foreground", 1, "1: apps in the foreground are not looked at", high=1),
            Tunable("fresh_millisecs", 1000, "how long an app is not looked at once it has changed", "ms"),
        )
    }

    def __init__(self, host: Host, seed: int = 0) -> None:
        super().__init__(host, seed)
        self._seen: dict[tuple[int, int], tuple[int, int]] = {}  # turns of an area, and when they became so many

    def _takes(self, area: Area) -> bool:
        turns, since = self._seen.get(area.key, (0, -self._knobs["fresh_millisecs"]))
        if turns != area.turns and area.state != 0:
            turns, since = area.turns, self.now_ms
        self._seen[area.key] = (turns, since)
        excluded = (
            (area.kind == FILES and self._knobs["exclude_files"])
            or (area.kind == GRAPHICS and self._knobs["exclude_graphics"])
            or (area.state == FOREGROUND and self._knobs["exclude_foreground"])
        )
        return not excluded and self.now_ms - since >= self._knobs["fresh_millisecs"]

    def exit(self, mm: int) -> None:
        """Its areas' history is forgotten too."""
        self._seen = {key: seen for key, seen in self._seen.items() if key[0] != mm}
        super().exit(mm)
