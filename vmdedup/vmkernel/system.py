"""The rest of a guest's system as scripts meet it: files, huge pages at rest, a memory cgroup, swap."""

from __future__ import annotations

import struct
from pathlib import Path

from vmdedup.errors import GuestError, RefusedError
from vmdedup.ksm.sysfs import as_written
from vmdedup.replay.content import Seed
from vmdedup.replay.machine import LacksStepError
from vmdedup.replay.steps import DISK, ZRAM
from vmdedup.vmkernel import numbers as sys
from vmdedup.vmkernel.guest import Guest, error_name
from vmdedup.vmkernel.memory import GuestMemory

_HUGE = "/sys/kernel/mm/transparent_hugepage/"
# The start state: huge pages for who asks for them, and khugepaged does nothing by itself.
START = {
    f"{_HUGE}enabled": "madvise",
    f"{_HUGE}khugepaged/defrag": "0",
    f"{_HUGE}khugepaged/pages_to_scan": "1",
    f"{_HUGE}khugepaged/scan_sleep_millisecs": "4000000000",
    f"{_HUGE}khugepaged/alloc_sleep_millisecs": "4000000000",
}
_CGROUP = "/cgroup/script"
_BALLAST_PAGES = 24
_RECLAIMS = 4  # of a cgroup; the first may leave pages that were used lately
_SWAP = {DISK: "/dev/swap", ZRAM: "/dev/zram"}
_ZRAM = "/sys/block/zram0/"
_ZRAM_BYTES = 64 << 20
_SIGNATURE_AT = 4096 - 10  # of the page that a swap disk begins with


class System:
    """What a script does to the system, and its undoing. modules: files that swap needs, in order."""

    def __init__(self, guest: Guest, modules: tuple[Path, ...] = ()) -> None:
        self._guest = guest
        self._modules = modules
        self._before: dict[str, str] = {}
        self._ballast: GuestMemory | None = None
        self._has_cgroup = False
        self._swap: str | None = None  # which device is in use
        self._made: set[str] = set()  # devices that there are
        self._loaded = False
        for file, value in START.items():
            guest.write(file, value.encode())

    def restore(self) -> None:
        """Undo what a script has done; its processes are gone."""
        if self._swap is not None:
            self.swapoff()
        if self._ballast is not None:
            self._guest.end(self._ballast.process)
            self._ballast = None
        for file, value in reversed(self._before.items()):
            self._guest.write(file, value.encode())
        self._before.clear()

    def write(self, file: str, value: str) -> None:
        """Write a file. RefusedError."""
        if file not in self._before:
            self._before[file] = as_written(self.show(file) or "")
        result = self._guest.write(file, value.encode())
        if result < 0:
            raise RefusedError(f"{file} refuses {value!r}", error_name(result))

    def show(self, file: str) -> str | None:
        """What a file says; None: there is none."""
        found = self._guest.read(file)
        return found.decode(errors="replace").removesuffix("\n") if isinstance(found, bytes) else None

    def wait(self, milliseconds: int) -> None:
        """Let time pass in the guest."""
        for start in range(0, milliseconds, 1000):
            part = min(1000, milliseconds - start)
            self._guest.do(sys.NANOSLEEP, struct.pack("<2q", part // 1000, part % 1000 * 1_000_000), 0)

    def cgroup(self, pid: int) -> None:
        """Put a process into the memory cgroup. GuestError: the kernel has none."""
        if not self._has_cgroup:
            self._guest.do(sys.MOUNT, b"cgroup2", b"/cgroup", b"cgroup2", 0, 0)
            self._guest.write("/cgroup/cgroup.subtree_control", b"+memory")
            self._guest.do(sys.MKDIR, _CGROUP.encode(), 0o755)
            self._has_cgroup = True
        if self._ballast is None:
            self._ballast = self._new_ballast()
        if self._guest.write(f"{_CGROUP}/cgroup.procs", b"%d" % pid) < 0:
            raise GuestError("the guest's kernel has no memory cgroups; build it with CONFIG_MEMCG=y")

    def _new_ballast(self) -> GuestMemory:
        """Some pages in the cgroup: kernels up to 6.1 find nothing to reclaim in one that holds hardly any."""
        memory = GuestMemory(self._guest, self._guest.fork(), _BALLAST_PAGES)
        memory.map()
        self._guest.write(f"{_CGROUP}/cgroup.procs", b"%d" % memory.pid)
        memory.fill(0, _BALLAST_PAGES - 1, Seed(0, 1))
        return memory

    def reclaim(self, size: int) -> None:
        """Reclaim from it, as much as there is. RefusedError: the kernel cannot (before 5.19)."""
        for _ in range(_RECLAIMS):
            result = self._guest.write(f"{_CGROUP}/memory.reclaim", b"%d" % size)
            if error_name(result) == "ENOENT":
                raise RefusedError("memory.reclaim", "ENOENT")

    def swapon(self, device: str) -> None:
        """Swap to a device, unless there is swap. GuestError: the guest has no disk. LacksStepError: it has no zram."""
        if self._swap is not None:
            return
        if device not in self._made:
            self._make(device)
        result = self._guest.do(sys.SWAPON, _SWAP[device].encode(), 0)
        if result < 0:
            raise GuestError(f"the guest cannot swap: {error_name(result)}; see that its kernel has virtio_blk")
        self._swap = device

    def swapoff(self) -> None:
        """Have no swap."""
        if self._swap is not None:
            self._guest.do(sys.SWAPOFF, _SWAP[self._swap].encode())
            self._swap = None

    def _make(self, device: str) -> None:
        for module in self._modules if not self._loaded else ():
            self._load(module.read_bytes())
        self._loaded = True
        block = "vda" if device == DISK else "zram0"
        numbers = self._guest.read(f"/sys/block/{block}/dev", 32)
        if not isinstance(numbers, bytes):
            if device == ZRAM:
                raise LacksStepError("swapon zram")
            raise GuestError("the guest sees no disk to swap to; use a kernel that was fetched, or with virtio_blk=y")
        major, minor = map(int, numbers.split(b":"))
        if device == ZRAM:
            self._guest.write(f"{_ZRAM}disksize", b"%d" % _ZRAM_BYTES)
        self._guest.do(sys.MKNOD, _SWAP[device].encode(), 0o60600, major << 8 | minor)
        size = self._guest.read(f"/sys/block/{block}/size", 32)
        self._format(_SWAP[device], int(size) // 8 if isinstance(size, bytes) else 0)
        self._made.add(device)

    def _format(self, device: str, pages: int) -> None:
        disk = self._guest.open(device, sys.O_RDWR)
        header = bytes(1024) + struct.pack("<3I", 1, pages - 1, 0)
        self._guest.do(sys.PWRITE, disk, header.ljust(_SIGNATURE_AT, b"\0") + b"SWAPSPACE2", 4096, 0)
        self._guest.close_descriptor(disk)

    def _load(self, module: bytes) -> None:
        """Load a module, which may be there already: swapon says whether all that was needed is."""
        calls = self._guest.calls()
        calls.add(sys.INIT_MODULE, calls.put(module), len(module), calls.put(b""))
        self._guest.run(calls)
