"""One thing found, and what it matters for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

# What somebody may want of this machine; a warning about something that it needs becomes a problem.
PURPOSES: Final = {
    "merging": "KSM merges what could be merged",
    "kernel": "scripts and scenarios on the kernel's own KSM",
    "guests": "real guests under QEMU and libvirt",
    "ansible": "guests provisioned by Ansible",
    "images": "images of guests built here",
}


class Status(StrEnum):
    """From good to bad. A note is worth knowing, a warning stands in the way of something nobody asked for."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """name: what was looked at, group.thing. text, remedy: a line each. purposes: what it is needed for.

    pid: the process that it is about, or 0.
    """

    name: str
    status: Status
    text: str
    remedy: str = ""
    purposes: frozenset[str] = field(default_factory=frozenset)
    pid: int = 0

    @property
    def group(self) -> str:
        """What it is shown among."""
        return self.name.partition(".")[0]

    def judged(self, wanted: Collection[str]) -> Finding:
        """The finding as it is to somebody who wants these purposes: a warning about one of them is a problem."""
        if self.status is Status.WARNING and self.purposes & set(wanted):
            return replace(self, status=Status.PROBLEM)
        return self

    def document(self) -> dict[str, Any]:
        """The finding in the JSON document."""
        return {
            "id": self.name,
            "group": self.group,
            "status": self.status.value,
            "text": self.text,
            "remedy": self.remedy or None,
            "purposes": sorted(self.purposes),
            "pid": self.pid or None,
        }


def good(name: str, text: str, pid: int = 0) -> Finding:
    """Something is as it should be."""
    return Finding(name, Status.OK, text, pid=pid)


def note(name: str, text: str, remedy: str = "", pid: int = 0) -> Finding:
    """Something worth knowing."""
    return Finding(name, Status.NOTE, text, remedy, pid=pid)


def lack(name: str, text: str, remedy: str, *purposes: str, pid: int = 0) -> Finding:
    """Something is missing, or wrong, for these purposes."""
    return Finding(name, Status.WARNING, text, remedy, frozenset(purposes), pid)
