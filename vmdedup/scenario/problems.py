"""What can be wrong with a scenario: where, what, and what to do."""

from __future__ import annotations

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
