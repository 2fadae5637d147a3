"""Published figures of one table or graph, from the TOML files that `vmdedup compare` reads too."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any


@dataclass(frozen=True)
class Published:
    """What a paper states. levels: by name; the end of a name is the unit. certainty: how sure the numbers are."""

    label: str
    source: str
    certainty: str
    levels: dict[str, float]

    @classmethod
    def read(cls, name: str) -> Published:
        """The figures in published/NAME.toml, which comes with the program."""
        place = resources.files("vmdedup.papers") / "published" / f"{name}.toml"
        data: dict[str, Any] = tomllib.loads(place.read_text(encoding="utf-8"))
        levels = {key: float(value) for key, value in data["levels"].items()}
        return cls(data["label"], data["source"], data["certainty"], levels)
