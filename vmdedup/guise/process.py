"""Files of /proc/PID for processes that there are not: QEMU's, one a guest, and ksmd. Texts only.

Source: proc(5); fs/proc/array.c for names and order. What an emulated host does not know is 0, as for a process that
has done nothing yet.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from vmdedup.units import MIB, PAGE_SIZE

QEMU: Final = "qemu-system-x86_64"
_KIB: Final = PAGE_SIZE // 1024
_COMM: Final = 15  # bytes of a name that the kernel keeps
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_STAT_FIELDS: Final = 52


@dataclass(frozen=True)
class Process:
    """One of them. pages: size and resident, pages; cpu: seconds; ksm_stat: lines of that file."""

    pid: int
    name: str
    arguments: tuple[str, ...] = ()
    pages: int = 0
    resident: int = 0
    cpu: float = 0.0
    since: float = field(default_factory=lambda: time.clock_gettime(time.CLOCK_BOOTTIME))
    ksm_stat: Mapping[str, int | str] = field(default_factory=dict)

    @property
    def comm(self) -> str:
        """Its name as the kernel keeps it."""
        return self.name[:_COMM]


def qemu_arguments(guest: str, memory_pages: int) -> tuple[str, ...]:
    """The command line of a guest's process: one that programs find which look for QEMU's with KVM."""
    memory = f"{max(1, memory_pages * PAGE_SIZE // MIB)}"
    return (QEMU, "-enable-kvm", "-name", f"guest={guest},debug-threads=on", "-m", memory, "-nodefaults")


def _cmdline(process: Process) -> str:
    return "".join(f"{word}\0" for word in process.arguments)


def _comm(process: Process) -> str:
    return f"{process.comm}\n"


def _stat(process: Process) -> str:
    values = dict.fromkeys(range(3, _STAT_FIELDS + 1), 0)
    values |= {4: 1, 5: process.pid, 6: process.pid, 8: -1, 15: int(process.cpu * _TICKS), 18: 20, 20: 1}
    values |= {22: int(process.since * _TICKS), 23: process.pages * PAGE_SIZE, 24: process.resident}
    rest = " ".join(str(values[number]) for number in range(4, _STAT_FIELDS + 1))
    return f"{process.pid} ({process.comm}) S {rest}\n"


def _statm(process: Process) -> str:
    return f"{process.pages} {process.resident} 0 0 0 {process.pages} 0\n"


def _status(process: Process) -> str:
    size, resident = process.pages * _KIB, process.resident * _KIB
    lines = [
        ("Name", process.comm),
        ("Umask", "0022"),
        ("State", "S (sleeping)"),
        ("Tgid", str(process.pid)),
        ("Ngid", "0"),
        ("Pid", str(process.pid)),
        ("PPid", "1"),
        ("TracerPid", "0"),
        ("Uid", "0\t0\t0\t0"),
        ("Gid", "0\t0\t0\t0"),
        ("FDSize", "64"),
        ("Groups", ""),
        *((name, f"{value:8d} kB") for name, value in _sizes(size, resident).items() if process.pages),
        ("Threads", "1"),
    ]
    return "".join(f"{name}:\t{value}\n" for name, value in lines)


def _sizes(size: int, resident: int) -> dict[str, int]:
    return {
        "VmPeak": size,
        "VmSize": size,
        "VmLck": 0,
        "VmPin": 0,
        "VmHWM": resident,
        "VmRSS": resident,
        "RssAnon": resident,
        "RssFile": 0,
        "RssShmem": 0,
        "VmData": size,
        "VmStk": 0,
        "VmExe": 0,
        "VmLib": 0,
        "VmPTE": 0,
        "VmSwap": 0,
    }


def _ksm_stat(process: Process) -> str:
    return "".join(
        f"{name}: {value}\n" if isinstance(value, str) else f"{name} {value}\n"
        for name, value in process.ksm_stat.items()
    )


TEXTS: Final[Mapping[str, Callable[[Process], str]]] = {
    "cmdline": _cmdline,
    "comm": _comm,
    "ksm_stat": _ksm_stat,
    "stat": _stat,
    "statm": _statm,
    "status": _status,
}
