"""The disks of a scenario: each opened once, by the parent, for all guests that have it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from vmdedup.guest.disk import Disk
from vmdedup.guest.diskspec import DiskSpec, open_disk
from vmdedup.scenario.model import Scenario
from vmdedup.scenario.plan import plan

Note = Callable[[str], None]


def open_disks(specs: Iterable[DiskSpec], note: Note) -> dict[DiskSpec, Disk]:
    """Every different disk, opened. note: told now and then what is being read. Raises UsageError."""
    disks: dict[DiskSpec, Disk] = {}
    for spec in dict.fromkeys(specs):
        disks[spec] = open_disk(spec, lambda files, name=str(spec): note(f"{name}: {files:,} files listed"))  # type: ignore[misc]
    return disks


def check_disks(scenario: Scenario) -> None:
    """Open every disk of a scenario and let go of it again. Raises UsageError."""
    open_disks((spec.disk for spec in plan(scenario).specs), lambda text: None)
