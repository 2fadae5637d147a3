"""How much memory the emulated host may take on this machine."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from vmdedup.errors import HostError
from vmdedup.experiment.scenario import PAGE_SIZE, Scenario
from vmdedup.units import format_size

_KEPT_FREE = 0.9  # share of what is available that a host may take if the scenario does not say how much
_CGROUP = Path("/sys/fs/cgroup/memory.max")


def host_frames(scenario: Scenario, available: int | None = None) -> int:
    """Frames of the host: what the scenario says, else what its guests have or this machine can give.

    available: bytes, for tests. Raises HostError if the scenario asks for more than there is.
    """
    room = available if available is not None else available_bytes()
    wanted = scenario.host.memory
    if wanted is None:
        return max(1, min(scenario.pages, int(room * _KEPT_FREE) // PAGE_SIZE))
    if wanted > room:
        raise HostError(
            f"the host of the scenario has {format_size(wanted)} of memory, but only {format_size(room)} are "
            "available here; give less in [host] memory, or fewer or smaller guests"
        )
    return wanted // PAGE_SIZE


def available_bytes() -> int:
    """Memory that this machine, or the control group that we are in, can still give."""
    limits = [_meminfo("MemAvailable")]
    with suppress(OSError, ValueError):  # there is no control group, or it has no limit
        limits.append(int(_CGROUP.read_text()))
    return min(limits)


def _meminfo(name: str) -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise HostError(f"/proc/meminfo has no {name}; vmdedup needs Linux")
