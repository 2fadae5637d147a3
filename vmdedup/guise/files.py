"""Every file that an emulated host shows: its paths, their texts at this moment, and what a write to them does."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, cast

from vmdedup.errors import UsageError
from vmdedup.guise.meminfo import meminfo
from vmdedup.guise.process import QEMU, TEXTS, Process, qemu_arguments
from vmdedup.host.memory import Host
from vmdedup.ksm.profile import Profile
from vmdedup.ksm.sysfs import COUNTERS, TUNABLES
from vmdedup.policy.table import load_policy
from vmdedup.run.backend.emulator import Emulator
from vmdedup.run.clock.desk import Desk
from vmdedup.run.emulation import Emulation
from vmdedup.scenario.model import Scenario
from vmdedup.units import SECOND_NS

KSM: Final = "sys/kernel/mm/ksm"
MEMINFO: Final = "proc/meminfo"
KSMD: Final = 0  # its number among processes; a guest's is its place in the plan, from 1
FIRST_PID: Final = 1000  # of processes that nobody has given a number
READ, WRITE = 0o444, 0o644


def need_ksm(scenario: Scenario) -> None:
    """UsageError: who scans has no files of KSM's."""
    kind = load_policy(scenario.policy.name)
    if not set(TUNABLES) <= set(kind.all_tunables()):
        raise UsageError(f"policy {scenario.policy.name} has no {KSM}; use ksm, or one that steers it (ksmtuned, …)")


@dataclass(frozen=True)
class Listing:
    """What there is now. files: path to mode; processes: number to name, and what its command line shows."""

    files: Mapping[str, int]
    processes: Mapping[int, str]


class HostFiles:
    """The files of one run's host, asked for by any thread. Paths are without the leading slash."""

    def __init__(self, desk: Desk, profile: Profile) -> None:
        self._desk, self._profile = desk, profile
        self._pids: dict[int, int] = {}  # number to process id, as told
        self._born: dict[int, float] = {}

    def list(self) -> Listing:
        """What there is at this moment."""
        return self._desk.ask(self._list)

    def read(self, path: str) -> str:
        """A file's text. OSError: there is none, or its process has ended."""
        return self._desk.ask(lambda emulation: self._read(emulation, path))

    def read_all(self) -> dict[str, str]:
        """All texts of one moment."""
        return self._desk.ask(
            lambda emulation: {path: self._read(emulation, path) for path in self._list(emulation).files}
        )

    def write(self, path: str, text: str) -> None:
        """As a write to it. KnobError: the kernel refuses. OSError: nothing can be written there."""
        name = path.removeprefix(f"{KSM}/")
        if name not in TUNABLES or not self._profile.has(name):
            raise OSError(errno.EACCES, path)
        self._desk.ask(lambda emulation: emulation.ksmd.set(name, text))

    def name_process(self, number: int, pid: int) -> None:
        """A process stands for that one: its files are those of that process id from now on."""
        self._pids[number] = pid

    def _list(self, emulation: Emulation) -> Listing:
        has = self._profile.has
        files = {f"{KSM}/{name}": WRITE for name in TUNABLES if has(name)}
        files |= {f"{KSM}/{name}": READ for name in COUNTERS if has(name)}
        files[MEMINFO] = READ
        processes = {KSMD: "ksmd"}
        processes |= {number + 1: emulation.plan.specs[number].name for number in self._present(emulation)}
        for number in processes:
            files |= {f"proc/{self._pid(number)}/{name}": READ for name in TEXTS if name != "ksm_stat" or number}
        return Listing(files, processes)

    def _read(self, emulation: Emulation, path: str) -> str:
        host = cast(Emulator, emulation.backend).host
        if path == MEMINFO:
            return meminfo(host)
        folder, _, name = path.rpartition("/")
        if folder == KSM:
            return self._ksm(emulation, name)
        for number in (KSMD, *(number + 1 for number in self._present(emulation))):
            if folder == f"proc/{self._pid(number)}" and name in TEXTS:
                return TEXTS[name](self._process(emulation, host, number))
        raise OSError(errno.ENOENT, path)

    def _ksm(self, emulation: Emulation, name: str) -> str:
        if not self._profile.has(name):
            raise OSError(errno.ENOENT, name)
        if name in TUNABLES:
            return f"{TUNABLES[name].show(emulation.ksmd.get(name))}\n"
        return f"{emulation.ksmd.counters()[name]}\n"

    def _present(self, emulation: Emulation) -> Iterator[int]:
        """Places in the plan of guests that live."""
        return (number for number, guest in emulation.guests.items() if guest.state not in ("left", "dead"))

    def _pid(self, number: int) -> int:
        return self._pids.get(number, FIRST_PID + number)

    def _process(self, emulation: Emulation, host: Host, number: int) -> Process:
        pid = self._pid(number)
        since = self._born.setdefault(number, Process(0, "").since)
        if number == KSMD:
            return Process(pid, "ksmd", cpu=emulation.ksmd.bill_ns / SECOND_NS, since=since)
        guest = emulation.guests[number - 1]
        allocated, zeros = host.allocated()
        return Process(
            pid,
            QEMU,
            qemu_arguments(guest.spec.name, guest.spec.memory_pages),
            guest.spec.memory_pages,
            int(allocated[guest.mm] - zeros[guest.mm]),
            since=since,
            ksm_stat=self._stat(emulation, guest.mm, guest.spec.mergeable),
        )

    def _stat(self, emulation: Emulation, mm: int, mergeable: bool) -> Mapping[str, int | str]:
        lines: dict[str, int | str] = dict(emulation.ksmd.ksm_stat(mm))
        lines |= {"ksm_merge_any": "no", "ksm_mergeable": "yes" if mergeable else "no"}
        has = self._profile.has
        return {name: value for name, value in lines.items() if has(name) and has(f"ksm_stat:{name}")}
