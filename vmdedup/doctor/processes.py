"""Processes as /proc tells them: name, command, memory map, what KSM knows of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vmdedup.doctor.machine import Machine
from vmdedup.dump.domain import domain_of

MONITORS: Final = re.compile(r"(qemu-system-\S+|qemu-kvm|kvm|cloud-hypervisor|firecracker|crosvm)\Z")
_HEAD: Final = re.compile(r"[0-9a-f]+-[0-9a-f]+ \S{4} ")


@dataclass(frozen=True)
class Vma:
    """One mapping. begin: its address. Sizes in KiB.

    flags: VmFlags, mg: advised mergeable, sh: shared, ht: hugetlb, lo: locked.
    """

    name: str
    size: int
    resident: int
    huge: int
    flags: frozenset[str]
    begin: int = 0

    @property
    def is_mergeable(self) -> bool:
        """Whether ksmd scans it."""
        return "mg" in self.flags


@dataclass(frozen=True)
class Process:
    """A process. ksm: /proc/PID/ksm_stat with yes and no as 1 and 0, None if it cannot be read. Sizes in KiB."""

    pid: int
    name: str
    arguments: tuple[str, ...]
    ksm: Mapping[str, int] | None
    status: Mapping[str, int]

    @property
    def is_guest(self) -> bool:
        """Whether it is a virtual machine monitor."""
        return bool(self.arguments and MONITORS.match(Path(self.arguments[0]).name))

    @property
    def is_mergeable(self) -> bool:
        """Whether ksmd scans memory of it, as far as ksm_stat tells (kernels before 6.16 count records only)."""
        told = ("ksm_mergeable", "ksm_merge_any", "ksm_rmap_items", "ksm_merging_pages")
        return any((self.ksm or {}).get(name) for name in told)

    @property
    def command(self) -> str:
        """Its command line as pgrep -f sees it."""
        return " ".join(self.arguments)

    @property
    def domain(self) -> str:
        """The name that QEMU was given, or nothing."""
        return domain_of(self.arguments)

    @property
    def title(self) -> str:
        """How it is called in a finding."""
        return f"{self.domain or self.name} (process {self.pid})"


def read_processes(machine: Machine) -> Iterator[Process]:
    """All processes, by pid; those that end meanwhile are left out."""
    folders = machine.path("/proc").glob("[0-9]*") if machine.path("/proc").is_dir() else iter(())
    for pid in sorted(int(folder.name) for folder in folders if folder.name.isdecimal()):
        process = read_process(machine, pid)
        if process is not None:
            yield process


def read_process(machine: Machine, pid: int) -> Process | None:
    """A process, or None if there is none."""
    name, command = machine.text(f"/proc/{pid}/comm"), machine.text(f"/proc/{pid}/cmdline")
    if name is None or command is None:
        return None
    arguments = tuple(command.rstrip("\0").split("\0")) if command else ()
    return Process(pid, name.strip(), arguments, _ksm_stat(machine, pid), machine.fields(f"/proc/{pid}/status"))


def _ksm_stat(machine: Machine, pid: int) -> dict[str, int] | None:
    text = machine.text(f"/proc/{pid}/ksm_stat")
    if text is None:
        return None
    lines = (line.replace(":", " ").split() for line in text.splitlines())
    numbers = {"yes": "1", "no": "0"}
    return {words[0]: int(numbers.get(words[1], words[1])) for words in lines if len(words) == 2}


def memory_map(machine: Machine, pid: int) -> list[Vma] | None:
    """A process's mappings, or None if it may not be read or is gone."""
    text = machine.text(f"/proc/{pid}/smaps")
    if text is None:
        return None
    blocks: list[list[str]] = []
    for line in text.splitlines():
        if _HEAD.match(line):
            blocks.append([line])
        elif blocks:
            blocks[-1].append(line)
    return [_vma(block) for block in blocks]


def _vma(block: list[str]) -> Vma:
    head = block[0].split(maxsplit=5)
    values = {name: rest.split() for name, _, rest in (line.partition(":") for line in block[1:])}

    def kib(field: str) -> int:
        return int(values.get(field, ["0"])[0])

    resident = kib("Rss") + kib("Private_Hugetlb") + kib("Shared_Hugetlb")
    name = head[5] if len(head) > 5 else ""
    begin = int(head[0].partition("-")[0], 16)
    return Vma(name, kib("Size"), resident, kib("AnonHugePages"), frozenset(values.get("VmFlags", ())), begin)
