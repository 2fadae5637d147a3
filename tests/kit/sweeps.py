"""Sweeps that take seconds."""

from __future__ import annotations

from pathlib import Path

from kit.small_runs import SMALL

TINY = SMALL.replace('"3s"', '"1s"').replace('"8MiB"', '"4MiB"').replace("mib = 16", "mib = 8")
VARY = ("--vary", "pages_to_scan=100,1000", "--vary", "guests=2,3")
RUNS = 4


def tiny(folder: Path) -> str:
    """The name of a scenario file in the folder."""
    path = folder / "tiny.toml"
    path.write_text(TINY)
    return str(path)
