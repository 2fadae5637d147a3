"""A machine made of files, for the tests of the doctor: healthy, unless a test changes something."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vmdedup.doctor.check_tools import IMAGE_TOOLS, QEMU
from vmdedup.doctor.examine import examine
from vmdedup.doctor.finding import Finding, Status
from vmdedup.doctor.machine import Machine
from vmdedup.doctor.scene import Scene, look
from vmdedup.live.guests.accel import Probe

KSM = {
    "run": 1,
    "pages_to_scan": 100,
    "sleep_millisecs": 20,
    "smart_scan": 1,
    "use_zero_pages": 0,
    "merge_across_nodes": 1,
    "max_page_sharing": 256,
    "advisor_mode": "[none] scan-time",
    "pages_shared": 100,
    "pages_sharing": 900,
    "pages_unshared": 200,
    "pages_volatile": 10,
    "pages_scanned": 9000,
    "pages_skipped": 100,
    "full_scans": 5,
    "general_profit": 3_000_000,
    "ksm_zero_pages": 0,
    "stable_node_chains": 0,
    "stable_node_dups": 0,
}
PROGRAMS = (QEMU, "libvirtd", "virsh", "ansible-playbook", *IMAGE_TOOLS)
BARE = (QEMU, "-enable-kvm", "-name", "guest=web,debug-threads=on", "-machine", "pc,accel=kvm")
LIBVIRT = (f"/usr/bin/{QEMU}", "-name", "guest=web,debug-threads=on", "-machine", "pc,usb=off", "-accel", "kvm")
STAT = {"ksm_rmap_items": 1200, "ksm_zero_pages": 0, "ksm_merging_pages": 1000, "ksm_process_profit": 9}
ADVISED = "rd wr mr mw me ac mg hg"


def vma(name: str = "", kib: int = 65536, flags: str = "rd wr", huge: int = 0, hugetlb: int = 0) -> str:
    """A mapping as /proc/PID/smaps has it."""
    sizes = {"Size": kib, "Rss": 0 if hugetlb else kib, "AnonHugePages": huge, "Private_Hugetlb": hugetlb}
    head = f"7f0000000000-7f0004000000 rw-p 00000000 00:00 0    {name}".rstrip()
    return "\n".join([head, *(f"{key}: {value:>8} kB" for key, value in sizes.items()), f"VmFlags: {flags} "]) + "\n"


@dataclass
class Fake:
    """The files of a machine below a folder; machine() is what the doctor gets."""

    root: Path
    fields: dict[str, Any] = field(default_factory=dict)

    def write(self, path: str, text: str) -> Path:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def ksm(self, **values: Any) -> Fake:
        for name, value in values.items():
            self.write(f"/sys/kernel/mm/ksm/{name}", f"{value}\n")
        return self

    def process(
        self,
        pid: int,
        arguments: Sequence[str],
        maps: str | None = None,
        stat: dict[str, int] | None = STAT,
        mergeable: bool | None = None,
        comm: str = "",
        status: dict[str, int] | None = None,
    ) -> Fake:
        """A process. mergeable: what ksm_stat says; left out: whether maps have a mergeable mapping."""
        folder = f"/proc/{pid}"
        self.write(f"{folder}/comm", f"{comm or Path(arguments[0]).name[:15]}\n")
        self.write(f"{folder}/cmdline", "".join(f"{word}\0" for word in arguments))
        self.write(f"{folder}/status", "".join(f"{key}:\t{value} kB\n" for key, value in (status or {}).items()))
        if maps is not None:
            self.write(f"{folder}/smaps", maps)
        if stat is not None:
            said = "yes" if (" mg" in (maps or "") if mergeable is None else mergeable) else "no"
            counts = stat if said == "yes" else dict.fromkeys(stat, 0)
            lines = [f"{key} {value}" for key, value in counts.items()] + [
                "ksm_merge_any: no",
                f"ksm_mergeable: {said}",
            ]
            self.write(f"{folder}/ksm_stat", "\n".join(lines) + "\n")
        return self

    def guest(
        self,
        *changes: str,
        maps: str | None = None,
        arguments: Sequence[str] = LIBVIRT,
        status: dict[str, int] | None = None,
    ) -> Fake:
        """Process 70, a QEMU guest. changes: arguments added."""
        return self.process(70, (*arguments, *changes), vma(flags=ADVISED) if maps is None else maps, status=status)

    def machine(self) -> Machine:
        return Machine(root=self.root, **self.fields)

    def scene(self, **chosen: Any) -> Scene:
        return look(self.machine(), **chosen)

    def findings(self, *purposes: str, **chosen: Any) -> dict[str, Finding]:
        """By name; the first of each."""
        found = examine(self.scene(**chosen), purposes or ("merging",))
        return {finding.name: finding for finding in reversed(found)}

    def status(self, name: str, *purposes: str) -> Status | None:
        """The status of a finding, or None if nothing was said of it."""
        found = self.findings(*purposes).get(name)
        return found.status if found else None


def no_kvm(device: Path) -> int:
    raise OSError(errno.ENOENT, "No such file or directory")


def healthy(root: Path, stack: ExitStack) -> Fake:
    """A machine on which everything is there and one guest merges."""
    fake = Fake(root)
    fake.fields = {
        "euid": 0,
        "environment": {"PATH": "/usr/bin", "HOME": "/users/someone"},
        "has_module": lambda name: True,
        "run": lambda command, seconds: (0, "qemu:///system"),
        "kvm_version": lambda device: 12,
        "free_bytes": lambda folder: 100 << 30,
        "zero_mappings": lambda pid, mappings: 0,
        "boot": lambda: Probe(True, "a boot sector ran under KVM"),
    }
    fake.ksm(**KSM)
    fake.write("/proc/2/comm", "ksmd\n")
    fake.write("/proc/2/cmdline", "")
    fake.write("/proc/meminfo", "MemTotal: 16777216 kB\nMemFree: 100000 kB\nMemAvailable: 8388608 kB\nCached: 10 kB\n")
    for program in PROGRAMS:
        fake.write(f"/usr/bin/{program}", "").chmod(0o755)
    listen(fake, stack)
    return fake.guest()


def listen(fake: Fake, stack: ExitStack) -> None:
    """Listen where libvirt's daemon does. The address is relative: a socket's name must be short."""
    path = fake.root / "run/libvirt/libvirt-sock"
    path.parent.mkdir(parents=True, exist_ok=True)
    server = stack.enter_context(socket.socket(socket.AF_UNIX))
    server.bind(str(path))
    server.listen()
