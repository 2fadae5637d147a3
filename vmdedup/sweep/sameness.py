"""Whether machines would make the same runs: the same code, the same disks and files in the same places.

Told as digests, which travel; files themselves stay where they are.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import Final

from vmdedup.errors import VmdedupError
from vmdedup.guest.diskspec import DiskSpec, open_disk
from vmdedup.scenario.model import Scenario
from vmdedup.scenario.plan import plan
from vmdedup.scenario.policy import is_own_file

_END: Final = 1 << 20  # bytes at each end of a file that are looked at


@dataclass(frozen=True)
class Needs:
    """What runs need of a machine besides vmdedup: disks, and files by their paths."""

    disks: tuple[DiskSpec, ...]
    files: tuple[str, ...]


def needs(scenario: Scenario, policies: Iterable[str]) -> Needs:
    """Of a scenario and those who scan. Generated disks are made everywhere alike."""
    disks = dict.fromkeys(spec.disk for spec in plan(scenario).specs)
    named = [file for group in scenario.guests for file in (group.image, group.replay) if file]
    own = [os.path.abspath(name.partition(":")[0]) for name in policies if is_own_file(name)]
    chosen = [disk for disk in disks if disk.kind not in ("generated", "none")]
    return Needs(tuple(chosen), tuple(dict.fromkeys([*named, *own])))


@cache
def look(wanted: Needs) -> dict[str, str]:
    """What stands here in each place, as a digest, or in words why nothing does."""
    found = {str(disk): _disk(disk) for disk in wanted.disks}
    return found | {path: _file(path) for path in wanted.files}


def _disk(spec: DiskSpec) -> str:
    """A tree by its files' names and sizes, an image by its beginning and end."""
    try:
        disk = open_disk(spec)
    except VmdedupError as error:
        return f"no: {error}"
    disk.close()
    file = _file(spec.path) if os.path.isfile(spec.path) else ""
    return f"{disk.identity:016x}{file}"


def _file(path: str) -> str:
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest = blake2b(f"{size}\0".encode() + file.read(_END), digest_size=8)
            file.seek(max(0, size - _END))
            digest.update(file.read(_END))
            return digest.hexdigest()
    except OSError as error:
        return f"no: {path}: {error.strerror}"


def difference(found: Mapping[str, Mapping[str, str]]) -> str:
    """What keeps machines from making the same runs, in a line; nothing if nothing does. found: by worker, look()."""
    workers = sorted(found)
    for worker in workers:
        for place, said in found[worker].items():
            if said.startswith("no: "):
                return f"worker {worker} lacks what the scenario needs: {said.removeprefix('no: ')}"
            if said != found[workers[0]][place]:
                return f"{place} is not the same on workers {workers[0]} and {worker}; have the same on all"
    return ""
