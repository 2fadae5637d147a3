"""The processor time that a task has had, as finely as this kernel tells it."""

from __future__ import annotations

import os
from pathlib import Path

from vmdedup.errors import EnvironmentLacksError


def cpu_seconds(clock: int) -> float:
    """Return a task's processor time from its clock: of schedstat, nanoseconds, or of stat, ticks."""
    text = os.pread(clock, 512, 0)
    if b")" not in text:
        return int(text.split()[0]) / 1e9
    user, system = text.rpartition(b")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def open_cpu_clock(pid: int) -> int:
    """Open the finer of the two files that tell a task's processor time; schedstat may be there but off."""
    for name in ("schedstat", "stat"):
        path = Path(f"/proc/{pid}/{name}")
        if path.exists() and not path.read_bytes().startswith(b"0 "):
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    raise EnvironmentLacksError(f"/proc/{pid}/stat is missing; mount /proc")
