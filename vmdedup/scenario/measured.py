"""A scenario told to do what a run of real guests did: as much a second, with a ksmd as fast, for as long before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vmdedup.scenario.problems import Path

FLAG = "--as-measured"


@dataclass(frozen=True)
class AsMeasured:
    """What to write over a scenario.

    warm_up: seconds that guests were at work before ksmd was started. page_cost: nanoseconds from one page that ksmd
    looked at to the next, its rest left out; None: it looked at none. groups: by name, the parameters of the workload
    that come to what was done, and the image of the guests' disks.
    """

    warm_up: float
    page_cost: int | None
    groups: Mapping[str, tuple[Mapping[str, float], str]]

    def apply(self, data: dict[str, Any]) -> dict[Path, str]:
        """Write it into the scenario's data. Returns the flag behind each key that was changed."""
        flags: dict[Path, str] = {}
        host = data.setdefault("host", {})
        host["warm_up"] = f"{self.warm_up:.3f}s"
        flags["host", "warm_up"] = FLAG
        if self.page_cost is not None:
            data.setdefault("ksm", {})["page_cost"] = f"{self.page_cost}ns"
            flags["ksm", "page_cost"] = FLAG
        for number, group in enumerate(data.get("guests", [])):
            self._apply_to_group(group, ("guests", number), flags)
        return flags

    def _apply_to_group(self, group: dict[str, Any], path: Path, flags: dict[Path, str]) -> None:
        if group.get("name", "vm") not in self.groups:
            return
        parameters, image = self.groups[group.get("name", "vm")]
        if image and "disk" not in group:
            group["disk"] = {"image": image}
            flags[(*path, "disk")] = FLAG
        for key, value in parameters.items():
            group.setdefault("parameters", {})[key] = value
            flags[(*path, "parameters", key)] = FLAG
