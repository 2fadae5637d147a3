"""What the workloads of real guests did: the last thing that each one's program said, kept beside a run's results.

A line is `SECONDS s: KEY=VALUE …`: how long the program has been at work, and the parameters of the workload of its
name that come to what it has really done.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmdedup.errors import UsageError
from vmdedup.result.opening import open_result
from vmdedup.result.tables import records

_LINE = re.compile(r"^(\d+(?:\.\d+)?) s:((?: [a-z_]+=\d+(?:\.\d+)?)+)$")
_MOST = 1 << 20  # bytes of a guest's answer that are looked at


@dataclass(frozen=True)
class Did:
    """seconds: that the program had been at work when the run ended. parameters: what it did, by name."""

    seconds: float
    parameters: Mapping[str, float]


@dataclass(frozen=True)
class Measured:
    """A measured run. seconds: of its measured part. scanned: pages that ksmd looked at in it. knobs: its tunables.

    groups: names of guests, by group. disks: what the scenario says of them, by group. guests: by name.
    """

    seconds: float
    scanned: int
    knobs: Mapping[str, str]
    groups: Mapping[str, Sequence[str]]
    disks: Mapping[str, Mapping[str, Any]]
    guests: Mapping[str, Did]

    def of_group(self, names: Sequence[str]) -> Did | None:
        """The mean of some guests; None: nothing is known of any."""
        found = [self.guests[name] for name in names if name in self.guests]
        if not found:
            return None
        keys = set.intersection(*(set(did.parameters) for did in found))
        parameters = {key: sum(did.parameters[key] for did in found) / len(found) for key in sorted(keys)}
        return Did(sum(did.seconds for did in found) / len(found), parameters)


def read_measured(path: Path) -> Measured:
    """What a run of real guests did. UsageError: it was none."""
    result = open_result(path)
    if result.summary.get("clock") != "real":
        raise UsageError(f"{path} was not measured on real guests; give the folder of `vmdedup live run`")
    groups: dict[str, list[str]] = {}
    for row in records(result.guests):
        groups.setdefault(str(row["group"]), []).append(str(row["guest"]))
    said = {file.stem: did for file in sorted((path / "guests").glob("*.txt")) if (did := _did(file))}
    guests = {name: did for names in groups.values() for name in names if (did := _of_guest(said, name))}
    listed = (result.run.get("scenario") or {}).get("guests", [])
    disks = {str(group.get("name", "vm")): group.get("disk") or {} for group in listed}
    seconds, scanned = float(result.summary["seconds"]), int(result.summary["pages_scanned"])
    return Measured(seconds, scanned, dict(result.run["knobs"]), groups, disks, guests)


def _of_guest(said: Mapping[str, Did], name: str) -> Did | None:
    """What the guest of that name did; its file has the name of its domain, which ends in it."""
    return next((did for domain, did in said.items() if domain.endswith(f"-{name}")), None)


def _did(file: Path) -> Did | None:
    text = file.read_bytes()[-_MOST:].decode("utf-8", "replace")
    for line in reversed(text.splitlines()):
        if (found := _LINE.match(line)) is not None:
            pairs = (word.split("=") for word in found[2].split())
            return Did(float(found[1]), {key: float(value) for key, value in pairs})
    return None
