"""What can be wrong with a scenario: where, what, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

_LONGEST = 60  # characters of a key that messages have

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """path: the key, as in ("guests", 0, "memory"). text: what is wrong, and the remedy."""

    path: Path
    text: str

    @property
    def key(self) -> str:
        """The key as people write it: guests[0].memory."""
        return "".join(f"[{p}]" if isinstance(p, int) else f".{_short(p)}" for p in self.path).lstrip(".")


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…"


def suggest(unknown: str, known: Iterable[str]) -> str:
    """The remedy for a name that does not exist: the nearest one that does, or all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(unknown, names, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}"
