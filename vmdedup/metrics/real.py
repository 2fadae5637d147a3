"""Figures of a real host, for a page of metrics: from its files, which are read and never written."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from vmdedup.metrics.figures import Figure, PassTimer, ksmd_figures
from vmdedup.metrics.reading import Process, read
from vmdedup.units import PAGE_SIZE

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_USER, _SYSTEM = 11, 12  # of /proc/PID/stat's fields after the name


class RealHost:
    """This host, or one whose files are below another folder."""

    def __init__(self, root: Path = Path("/")) -> None:
        """EnvironmentLacksError: it has no KSM."""
        self._root = root
        self._passes = PassTimer()
        self._ksmd: Path | None = None
        read(root)

    def __call__(self) -> list[Figure]:
        """All figures now."""
        return list(self._figures())

    def _figures(self) -> Iterator[Figure]:
        reading = read(self._root)
        yield from ksmd_figures(reading.ksm)
        yield from self._passes.look(time.monotonic(), reading.ksm["full_scans"])
        for name, value in reading.memory.items():
            yield Figure(f"node_memory_{name}_bytes", value)
        if (cpu := self._cpu()) is not None:
            yield Figure("vmdedup_ksmd_cpu_seconds_total", cpu)
        if (splits := self._splits()) is not None:
            yield Figure("vmdedup_huge_pages_split_total", splits)
        for process in reading.processes:
            yield from _process(process)

    def _cpu(self) -> float | None:
        """CPU seconds of its ksmd; None: there is none to be seen."""
        for stat in [self._ksmd] if self._ksmd is not None else (self._root / "proc").glob("[0-9]*/stat"):
            try:
                name, _, rest = stat.read_text().rpartition(") ")
            except OSError:
                continue
            if name.endswith("(ksmd"):
                self._ksmd = stat
                fields = rest.split()
                return (int(fields[_USER]) + int(fields[_SYSTEM])) / _TICKS
        self._ksmd = None
        return None

    def _splits(self) -> int | None:
        try:
            lines = (self._root / "proc/vmstat").read_text().splitlines()
        except OSError:
            return None
        return next((int(line.split()[1]) for line in lines if line.startswith("thp_split_page ")), None)


def _process(process: Process) -> Iterator[Figure]:
    labels = str(process.pid), process.name
    for column, name, unit in (
        ("ksm_merging_pages", "merged", PAGE_SIZE),
        ("ksm_zero_pages", "zero", PAGE_SIZE),
        ("ksm_process_profit", "profit", 1),
    ):
        if column in process.stat:
            yield Figure(f"vmdedup_process_{name}_bytes", process.stat[column] * unit, labels)
