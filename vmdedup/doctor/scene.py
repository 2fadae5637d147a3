"""All that the checks look at, read once: the kernel's KSM, processes, and memory maps of those that matter."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from vmdedup.doctor.machine import Machine
from vmdedup.doctor.processes import Process, Vma, memory_map, read_processes
from vmdedup.errors import UsageError
from vmdedup.live.guardian.before import SUFFIX
from vmdedup.live.ksm.lock import NAME

KSM: Final = "/sys/kernel/mm/ksm"
OURS: Final = "/run/vmdedup"  # root's folder: KSM's lock, and what is to be put back
PATIENCE: Final = 1.5  # seconds for memory maps: those of large guests take long to read


@dataclass(frozen=True)
class Scene:
    """ksm: every file of the kernel's KSM, None where there is none. maps: by pid, of guests and mergeable processes.

    chosen: the one process that was asked for, or None. unread: pids whose maps were not read for lack of time.
    holder: the pid of a vmdedup that uses the kernel's KSM, or 0. left: files that say what a killed run has left.
    uncounted: by pid, pages of mergeable processes that map the zero page without a counter (live.ksm.uncounted); those
    whose pages we may not see, or had no time for, are not in it.
    """

    machine: Machine
    ksm: Mapping[str, str] | None
    processes: Sequence[Process]
    maps: Mapping[int, Sequence[Vma]]
    chosen: Process | None = None
    unread: Sequence[int] = ()
    holder: int = 0
    left: Sequence[str] = ()
    uncounted: Mapping[int, int] = field(default_factory=dict)

    def number(self, name: str) -> int:
        """A counter or a numeric tunable of KSM; 0 if this kernel's KSM has no such file."""
        text = (self.ksm or {}).get(name, "")
        return int(text) if text.lstrip("-").isdecimal() else 0

    @property
    def guests(self) -> list[Process]:
        """Virtual machine monitors, and the process that was asked for."""
        return [process for process in self.processes if process.is_guest or process is self.chosen]

    @property
    def mergeable(self) -> list[Process]:
        """Processes with memory that ksmd scans, by their maps or by what KSM says of them."""
        return [process for process in self.processes if process.is_mergeable or self.mergeable_kib(process.pid)]

    def mergeable_kib(self, pid: int) -> int:
        """KiB of a process's mappings that are advised mergeable, whether there are pages in them or not."""
        return sum(vma.size for vma in self.maps.get(pid, ()) if vma.is_mergeable)


def look(machine: Machine, pid: int | None = None, domain: str | None = None, patience: float = PATIENCE) -> Scene:
    """The machine as it is now. pid, domain: a process to look at more closely. UsageError: there is none such."""
    processes = list(read_processes(machine))
    chosen = _choose(processes, pid, domain)
    end, maps, unread = time.monotonic() + patience, {}, []
    wanted = [process for process in processes if process.is_guest or process.is_mergeable]
    for process in ([chosen] if chosen else []) + [process for process in wanted if process is not chosen]:
        if time.monotonic() > end:
            unread.append(process.pid)
        elif (vmas := memory_map(machine, process.pid)) is not None:
            maps[process.pid] = vmas
    holder = lock_holder(machine, f"{OURS}/{NAME}")
    uncounted = _uncounted(machine, processes, maps, time.monotonic() + patience)
    return Scene(
        machine, _ksm_files(machine), processes, maps, chosen, unread, holder, left_records(machine), uncounted
    )


def _uncounted(
    machine: Machine, processes: Sequence[Process], maps: Mapping[int, Sequence[Vma]], end: float
) -> dict[int, int]:
    found = {}
    for process in processes:
        own = [(vma.begin, vma.size * 1024) for vma in maps.get(process.pid, ()) if vma.is_mergeable]
        if process.ksm is None or not own or time.monotonic() > end:
            continue
        if (zeros := machine.zero_mappings(process.pid, own)) is not None:
            found[process.pid] = max(0, zeros - process.ksm.get("ksm_zero_pages", 0))
    return found


def left_records(machine: Machine) -> list[str]:
    """Files that say what runs have left changed which were killed together with those who put it back."""
    try:
        names = sorted(path.name for path in machine.path(OURS).glob(f"*{SUFFIX}"))
    except OSError:
        return []
    return [f"{OURS}/{name}" for name in names if not lock_holder(machine, f"{OURS}/{name}")]


def lock_holder(machine: Machine, name: str) -> int:
    """The pid that holds an flock on a file, by /proc/locks, so that the lock is not touched; 0 if nobody does.

    Source: proc_locks(5).
    """
    try:
        inode = machine.path(name).stat().st_ino
    except OSError:
        return 0
    for line in (machine.text("/proc/locks") or "").splitlines():
        words = line.split()
        if len(words) > 5 and words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(inode):
            return int(words[4])
    return 0


def _choose(processes: Sequence[Process], pid: int | None, domain: str | None) -> Process | None:
    if pid is None and domain is None:
        return None
    for process in processes:
        if process.pid == pid or (domain is not None and process.is_guest and process.domain == domain):
            return process
    if pid is not None:
        raise UsageError(f"there is no process {pid}; find the guests' with: pgrep -a qemu")
    raise UsageError(f"no QEMU process runs domain {domain}; start it: virsh start {domain}")


def _ksm_files(machine: Machine) -> dict[str, str] | None:
    folder = machine.path(KSM)
    if not (folder / "run").exists():
        return None
    return {path.name: (machine.text(f"{KSM}/{path.name}") or "").strip() for path in sorted(folder.iterdir())}
