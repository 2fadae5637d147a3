"""What is kept of a guest's memory as a whole, at one step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from vmdedup.dump.base import Process
from vmdedup.recording.layout import MOST_GUEST_PAGES

DIGEST_LETTERS: Final = 64  # of a SHA-256


@dataclass(frozen=True)
class Snapshot:
    """digest: see recording.digest. changed: pages unlike the step before, those gone included. present: pages.

    processes: of several that were recorded as one system, by number.
    """

    digest: str
    changed: int
    present: int
    processes: Mapping[int, Process] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """For a record."""
        found = {"digest": self.digest, "changed": self.changed, "present": self.present}
        processes = {str(pid): vars(process) for pid, process in self.processes.items()}
        return found | ({"processes": processes} if processes else {})

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Self:
        """From a record. Raises KeyError, TypeError or ValueError."""
        digest, changed, present = content["digest"], content["changed"], content["present"]
        if not isinstance(digest, str) or len(digest) > DIGEST_LETTERS:
            raise ValueError("no digest")
        if not all(type(pages) is int and 0 <= pages <= MOST_GUEST_PAGES for pages in (changed, present)):
            raise ValueError("no number of pages")
        processes = {int(pid): _process(said) for pid, said in content.get("processes", {}).items()}
        return cls(digest, changed, present, processes)


def _process(said: Mapping[str, Any]) -> Process:
    """Raises KeyError, TypeError or ValueError."""
    name, adjusted, is_zygote = said["name"], said["oom_score_adj"], said["is_zygote"]
    if not isinstance(name, str) or type(adjusted) is not int or not isinstance(is_zygote, bool):
        raise ValueError("no process")
    return Process(name, adjusted, is_zygote)
