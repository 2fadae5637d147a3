"""What is kept of a guest's memory as a whole, at one step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from vmdedup.recording.layout import MOST_GUEST_PAGES

DIGEST_LETTERS: Final = 64  # of a SHA-256


@dataclass(frozen=True)
class Snapshot:
    """digest: see recording.digest. changed: pages unlike the step before, those gone included. present: pages."""

    digest: str
    changed: int
    present: int

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Self:
        """From a record. Raises KeyError, TypeError or ValueError."""
        digest, changed, present = content["digest"], content["changed"], content["present"]
        if not isinstance(digest, str) or len(digest) > DIGEST_LETTERS:
            raise ValueError("no digest")
        if not all(type(pages) is int and 0 <= pages <= MOST_GUEST_PAGES for pages in (changed, present)):
            raise ValueError("no number of pages")
        return cls(digest, changed, present)
