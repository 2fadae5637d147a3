"""Why a guest's memory is not merged, or not all of it, guest by guest.

Source: mm/ksm.c, vma_ksm_compatible: shared, hugetlb and device mappings are never scanned; write_protect_page leaves
pages alone that somebody holds besides the page tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from vmdedup.doctor.finding import Finding, good, lack, note
from vmdedup.doctor.processes import Process, Vma
from vmdedup.doctor.scene import Scene
from vmdedup.units import format_size

WORTH: Final = 1024  # KiB; smaller mappings are no guest memory
THP: Final = "/sys/kernel/mm/transparent_hugepage/enabled"
MOST_GUESTS: Final = 32  # looked at one by one


def check_guests(scene: Scene) -> Iterator[Finding]:
    """Findings of the group guest; of the one process that was asked for, or of all guests."""
    everybody = [scene.chosen] if scene.chosen else scene.guests
    for process in everybody[:MOST_GUESTS]:
        if process.pid in scene.maps:
            yield from _check(process, scene.maps[process.pid], scene.uncounted.get(process.pid, 0))
        elif process.pid not in scene.unread:
            text = f"{process.title}: its memory map may not be read"
            yield note("guest.unreadable", text, "run vmdedup doctor with sudo", process.pid)
    yield from _huge_pages(scene, everybody)


def _check(process: Process, vmas: Sequence[Vma], uncounted: int) -> Iterator[Finding]:
    """The findings about one process."""
    mergeable = [vma for vma in vmas if vma.is_mergeable]
    reasons = [*_switched_off(process), *_shared(process, vmas), *_hugetlb(process, vmas)]
    large = sum(vma.size for vma in mergeable if vma.size >= WORTH)
    if large or (mergeable and not reasons):
        yield _merged(process, sum(vma.resident for vma in mergeable), uncounted)
    elif not reasons:
        yield _never_asked(process)
    yield from reasons
    if mergeable:
        yield from _private_file(process, mergeable)
        yield from _pinned(process)
        yield from _encrypted(process)


def _merged(process: Process, resident: int, uncounted: int) -> Finding:
    merging = (process.ksm or {}).get("ksm_merging_pages", 0)
    text = f"{process.title}: {_size(resident)} mergeable, {merging:,} of its pages are merged"
    if uncounted:
        text += f", {uncounted:,} more are zeros that no counter has (merging.splits)"
    return good("guest.mergeable", text, process.pid)


def _never_asked(process: Process) -> Finding:
    text = f"{process.title}: it never asked for its memory to be merged"
    remedy = "have it call madvise(MADV_MERGEABLE), or start it with MemoryKSM=yes in its systemd unit"
    return lack("guest.not_advised", text, remedy, "merging", pid=process.pid)


def _switched_off(process: Process) -> Iterator[Finding]:
    if any("mem-merge=off" in word.split(",") for word in process.arguments):
        text = f"{process.title}: started with mem-merge=off"
        remedy = (
            "take <nosharepages/> out of the domain's <memoryBacking>, or mem-merge=off out of -machine, and restart"
        )
        yield lack("guest.mem_merge", text, remedy, "merging", pid=process.pid)


def _shared(process: Process, vmas: Sequence[Vma]) -> Iterator[Finding]:
    """Guest memory behind memfd or a file with share=on; hugetlb mappings are told apart."""
    shared = [vma for vma in vmas if {"sh", "wr"} <= vma.flags and "ht" not in vma.flags and _is_memory(vma)]
    if shared:
        names = ", ".join(sorted({vma.name.split(" (")[0] or "anonymous" for vma in shared})[:3])
        size = _size(sum(vma.size for vma in shared))
        text = f"{process.title}: {size} is a shared mapping ({names}), and KSM merges private memory only"
        remedy = (
            "use <access mode='private'/> or share=off and restart; virtiofs and vhost-user cannot do without shared"
        )
        yield lack("guest.shared", text, remedy, "merging", pid=process.pid)


def _is_memory(vma: Vma) -> bool:
    """Whether a shared mapping may be a guest's memory: large, and no device's."""
    return vma.size >= WORTH and not {"io", "pf"} & vma.flags and not vma.name.startswith("/dev/vfio")


def _hugetlb(process: Process, vmas: Sequence[Vma]) -> Iterator[Finding]:
    size = sum(vma.size for vma in vmas if "ht" in vma.flags)
    if size:
        text = f"{process.title}: {_size(size)} is on hugetlbfs, which KSM never merges"
        remedy = "take <hugepages/> out of the domain's <memoryBacking>, or -mem-path /dev/hugepages away, and restart"
        yield lack("guest.hugetlb", text, remedy, "merging", pid=process.pid)


def _huge_pages(scene: Scene, processes: Sequence[Process]) -> Iterator[Finding]:
    """Once for all: they make guests fast, so nobody is told to give them up for the sake of a counter."""
    sizes = {process.title: _huge(scene, process) for process in processes}
    having = {title: huge for title, huge in sizes.items() if huge}
    if having:
        most = max(having, key=lambda title: having[title])
        whose = most if len(having) == 1 else f"{len(having)} guests, most of it in {most}"
        text = (
            f"{_size(sum(having.values()))} of mergeable memory are transparent huge pages ({whose}); KSM "
            "splits one where it merges: the guest loses some speed there, and pages of zeros in it are freed without "
            "being counted, so more is freed than pages_sharing says"
        )
        remedy = (
            "leave them where guests' speed counts; only to measure with exact counters, on a host without load: "
            f"echo never > {THP} before guests start, which makes memory access slower in all of them"
        )
        yield note("guest.huge_pages", text, remedy)


def _huge(scene: Scene, process: Process) -> int:
    """KiB of a process's mergeable memory in transparent huge pages."""
    return sum(vma.huge for vma in scene.maps.get(process.pid, ()) if vma.is_mergeable)


def _private_file(process: Process, mergeable: Sequence[Vma]) -> Iterator[Finding]:
    """A private mapping of a memfd: each page written is a copy beside the memfd's own."""
    size = sum(vma.size for vma in mergeable if vma.name.startswith("/memfd:") and vma.size >= WORTH)
    if size:
        text = (
            f"{process.title}: {_size(size)} is a memfd mapped privately; written pages merge, but the memfd's stay too"
        )
        remedy = "take <source type='memfd'/> out of the domain's <memoryBacking>: plain memory merges without that"
        yield note("guest.private_memfd", text, remedy, process.pid)


def _pinned(process: Process) -> Iterator[Finding]:
    """Memory that a device may reach at any time cannot be made read-only."""
    locked, pinned = process.status.get("VmLck", 0), process.status.get("VmPin", 0)
    has_device = any("vfio" in word for word in process.arguments)
    if pinned or (locked and has_device):
        text = f"{process.title}: {_size(max(locked, pinned))} are pinned for a device (VFIO), which KSM leaves alone"
        yield lack("guest.pinned", text, "detach the device, or do without merging there", "merging", pid=process.pid)
    elif locked:
        text = f"{process.title}: {_size(locked)} are locked (VmLck); if a device holds them, KSM leaves them alone"
        yield note("guest.locked", text, "take <locked/> out of the domain's <memoryBacking>", process.pid)


def _encrypted(process: Process) -> Iterator[Finding]:
    kinds = ("sev-guest", "sev-snp-guest", "tdx-guest", "confidential-guest-support")
    if any(kind in word for word in process.arguments for kind in kinds):
        text = f"{process.title}: its memory is encrypted (SEV, TDX), so no two pages are alike"
        yield lack(
            "guest.encrypted", text, "run it without launchSecurity if it is to share", "merging", pid=process.pid
        )


def _size(kib: int) -> str:
    return format_size(kib * 1024)
