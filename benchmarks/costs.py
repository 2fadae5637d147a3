"""Where a policy's time goes, by what it does: measured by Python's profiler, which sees each call of a kernel.

The profiler makes Python code slower than it is: about so far the share "Python" is an upper bound.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from numba.core.dispatcher import Dispatcher

from benchmarks.images import Image
from benchmarks.scanning import PHASES, Row, scanning
from vmdedup.host.census import hash_frames
from vmdedup.host.memory import Host
from vmdedup.policy.base import Policy
from vmdedup.policy.ksm import Ksm
from vmdedup.policy.tenancy.domains import KsmDomains

# Files, below vmdedup, whose functions and what they call of libraries are one share.
_FILES: Final = {
    "subpage/delta.py": "patching",
    "subpage/compression.py": "compression",
    "subpage/detector.py": "signatures",
    "policy/storage.py": "storage",
    "policy/room.py": "storage",
    "policy/packing.py": "packing",
    "policy/difference_engine/packing.py": "packing",
    "policy/mobile/packing.py": "packing",
}
KERNELS, HASHING, PYTHON = "kernels", "hashing", "Python"
_KSMD: Final = (Ksm, KsmDomains)  # they are charged for hashing pages that the bits of page tables spare them
Place = tuple[str, int, str]
Shares = dict[str, float]


def shares(image: Image, row: Row, batch: int) -> dict[str, Shares]:
    """For each phase: each part of the policy's time, all together 1; {} if it looks at nothing.

    hashing: bytes hashed, by the policy's own count without those spared, at the price of hashing these pages one after
    the other; with ksmd, which does not count them, it is among the kernels.
    """
    found = {}
    with scanning(image, row, batch) as made:
        byte_s = seconds_per_byte(made.host)
        for phase, passes in PHASES.items():
            before = _hashed(made.policy)
            profile = cProfile.Profile(time.process_time)
            profile.enable()
            looked = sum(made.scan()[0] for _ in range(passes))
            profile.disable()
            found[phase] = _parts(profile, (_hashed(made.policy) - before) * byte_s) if looked else {}
    return found


def _hashed(policy: Policy) -> int:
    if isinstance(policy, _KSMD):
        return 0
    spared = policy.counters().get("hashes_spared", 0)
    return policy.work_done().get("hash_byte", 0) - spared * policy.host.page_size


def seconds_per_byte(host: Host) -> float:
    """What hashing takes, all frames one after the other."""
    hashes = np.zeros(len(host.arrays.frames), np.int64)
    start = time.process_time()
    frames = int(hash_frames(host.arrays, hashes))
    return (time.process_time() - start) / (frames * host.page_size)


def _parts(profile: cProfile.Profile, hashing_s: float) -> Shares:
    kernels: set[Place] = _kernels()
    spent: defaultdict[str, float] = defaultdict(float)
    # Typed loosely: pstats has no types for its table.
    table: dict[Place, Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    for place, (_, _, own, _, callers) in table.items():
        if place[0] == "~":
            for caller, (_, _, part, _) in callers.items():
                spent[_group(caller, kernels)] += part
        else:
            spent[_group(place, kernels)] += own
    total = sum(spent.values()) or 1.0
    hashing = min(hashing_s, spent[KERNELS])
    spent[KERNELS] -= hashing
    spent[HASHING] = hashing
    return {name: seconds / total for name, seconds in sorted(spent.items(), key=lambda part: -part[1]) if seconds}


def _group(place: Place, kernels: set[Place]) -> str:
    if place in kernels:
        return KERNELS
    below = Path(place[0]).as_posix().rpartition("/vmdedup/")[2]
    return _FILES.get(below, PYTHON)


def _kernels() -> set[Place]:
    """Every kernel that is loaded."""
    modules = [module for name, module in list(sys.modules.items()) if name.startswith("vmdedup.")]
    found = [value for module in modules for value in vars(module).values() if isinstance(value, Dispatcher)]
    codes = [kernel.py_func.__code__ for kernel in found]
    return {(code.co_filename, code.co_firstlineno, code.co_name) for code in codes}
