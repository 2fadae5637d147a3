"""One host emulated: guests made of their fingerprints, as dumps in a folder of ours, and a run of them.

Loaded where hosts are emulated: here, or on the machines of Dask's workers. The run is made by a process of its own, as
those of sweeps are (sweep.children), so that a host that takes its process with it costs only itself.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import VmdedupError
from vmdedup.guest.content import random_pages
from vmdedup.ours import folder
from vmdedup.place.contents import Contents
from vmdedup.sweep.children import CHILDREN

if TYPE_CHECKING:
    from vmdedup.scenario.model import Scenario

FAILED: Final = "failed"
_SLEEP_MS: Final = 20
_SAMPLES: Final = 100  # while ksmd is given time
_BLOCK: Final = 4096  # pages made at once


@dataclass(frozen=True, eq=False)
class Tenant:
    """A guest of a host to be emulated. contents: of its distinct pages; again: pages that hold one of these once more.

    comes_at: nanoseconds from the beginning on; 0: it is there.
    """

    contents: Contents
    again: int
    comes_at: int


@dataclass(frozen=True, eq=False)
class HostTask:
    """A host to be emulated, so long after its last guest has come. sweep: any name, by which runs are ended."""

    tenants: tuple[Tenant, ...]
    nanoseconds: int
    pages_to_scan: int
    sweep: str


def emulate(task: HostTask) -> dict[str, Any]:
    """Emulate it. Returns ended, reason, and figures as rows of sweeps have them (result.sweep)."""
    try:
        with folder.scratch() as place:
            scenario = _scenario(task, [_dump(place / f"{n}.raw", each) for n, each in enumerate(task.tenants)])
            return CHILDREN.run(pickle.dumps(scenario), task.sweep)
    except (OSError, VmdedupError) as error:
        return {"ended": FAILED, "reason": str(error)}


def _dump(path: Path, tenant: Tenant) -> str:
    """A guest's memory as a raw dump: pages made of fingerprints, so that equal ones make equal pages."""
    with path.open("xb") as file:
        for part in _blocks(np.concatenate([tenant.contents, np.resize(tenant.contents, tenant.again)])):
            file.write(random_pages(part).data)
    return str(path)


def _blocks(words: NDArray[np.uint64]) -> list[Contents]:
    return [words[at : at + _BLOCK] for at in range(0, len(words), _BLOCK)]


def _scenario(task: HostTask, dumps: Sequence[str]) -> Scenario:
    """The host: as much memory as its guests have, so that it shows by how much it would have been too small."""
    from vmdedup.scenario.checks import check
    from vmdedup.scenario.model import validate

    last = max(tenant.comes_at for tenant in task.tenants)
    tick = max(_SLEEP_MS * 1_000_000, task.nanoseconds // _SAMPLES)  # guests do nothing that a finer one would show
    groups = [
        {"name": f"guest-{number}", "image": f"raw:{dump}", "start_at": f"{tenant.comes_at}ns"}
        for number, (tenant, dump) in enumerate(zip(task.tenants, dumps, strict=True))
    ]
    data = {
        "title": "a host of a plan",
        "duration": f"{last + task.nanoseconds}ns",
        "host": {
            "huge_pages": "never",
            "guests_per_worker": len(groups),
            "tick": f"{tick}ns",
            "sample_interval": f"{tick}ns",
        },
        "ksm": {"run": 1, "pages_to_scan": task.pages_to_scan, "sleep_millisecs": _SLEEP_MS},
        "guests": groups,
    }
    scenario, problems = validate(data)
    problems = problems if scenario is None else list(check(scenario))
    if scenario is None or problems:
        raise VmdedupError("; ".join(f"{problem.key}: {problem.text}" for problem in problems))
    return scenario
