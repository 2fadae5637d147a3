"""Published figures that come with the program: TOML files that `vmdedup compare` reads too."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from vmdedup.result.published import Published, read_published


def published_figures(name: str) -> Published:
    """The figures in published/NAME.toml."""
    with resources.as_file(resources.files("vmdedup.papers") / "published" / f"{name}.toml") as place:
        return read_published(Path(place))
