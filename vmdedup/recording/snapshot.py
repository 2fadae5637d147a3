"""What is kept of a guest's memory as a whole, at one step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Snapshot:
    """digest: see recording.digest. changed: pages unlike the step before, those gone included. present: pages."""

    digest: str
    changed: int
    present: int

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Self:
        """From a record. Raises KeyError, TypeError or ValueError."""
        return cls(str(content["digest"]), int(content["changed"]), int(content["present"]))
