"""What Dask's workers do: a run, or a look at themselves. Loaded on their machines, by name."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vmdedup.afar.code import code
from vmdedup.errors import EnvironmentLacksError
from vmdedup.sweep.children import CHILDREN
from vmdedup.sweep.sameness import Needs, look


@dataclass(frozen=True)
class Asked:
    """Who asks for runs. sweep: any name, of which end_there() ends the runs. found: what workers had of needs."""

    sweep: str
    code: str
    needs: Needs
    found: Mapping[str, str]


def run_there(scenario: bytes, asked: Asked) -> dict[str, Any]:
    """One run of a sweep, of a pickled scenario; as children.perform.

    EnvironmentLacksError: this worker has other code, or other disks: it came when the others had been looked at.
    """
    if code() != asked.code:
        raise EnvironmentLacksError(f"a worker has vmdedup {code()}, not {asked.code}; install the same everywhere")
    if look(asked.needs) != asked.found:
        raise EnvironmentLacksError("a worker has other disks or files than the others; have the same on all")
    return CHILDREN.run(scenario, asked.sweep)


async def look_there(wanted: Needs) -> dict[str, str]:
    """What a worker has of what runs need."""
    return await asyncio.to_thread(look, wanted)


def end_there(sweep: str) -> None:
    """End the runs of a sweep that nobody wants any more."""
    CHILDREN.end(sweep)
