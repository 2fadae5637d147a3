"""Other processes, and waiting for what they do."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from pathlib import Path


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def descendants(pid: int) -> set[int]:
    """Every process below pid."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def running(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def wait_for_death(pid: int) -> None:
    """Wait until a process that need not be our child is gone."""
    try:
        watch = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    poll = select.poll()
    poll.register(watch, select.POLLIN)
    ended = poll.poll(20_000)
    os.close(watch)
    assert ended, f"process {pid} lives on"


def private_kib(pid: int) -> int:
    """Memory that a process shares with nobody: host memory and other segments left out, and clean pages of files, too,
    which are the page cache's whoever maps them (only while no other process has the same library are they "private").
    """
    total, counted, files = 0, True, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        name, *values = line.split()
        if not name.endswith(":"):
            counted, files = "memfd:" not in line, values[4:] != [] and values[4].startswith("/")
        elif counted and (name == "Private_Dirty:" or (name == "Private_Clean:" and not files)):
            total += int(values[0])
    return total
