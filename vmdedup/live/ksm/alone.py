"""Is the kernel's KSM there, ours to use, and idle? ksmd scans every mergeable page of the machine.

So one other process with mergeable memory (QEMU makes its guests' memory mergeable by default) would change
every counter. The refusals name the process and say what to do.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from vmdedup.errors import EnvironmentLacksError, GuestError
from vmdedup.live.ksm.lock import process_name
from vmdedup.live.ksm.sysfs import KsmFiles

PROC = Path("/proc")
_POLL = 0.2  # seconds between two looks at all processes


def require_root() -> None:
    """EnvironmentLacksError: not root."""
    if os.geteuid() != 0:
        raise EnvironmentLacksError("driving the kernel's KSM needs root; use sudo, or the emulator")


def require_ksm(files: KsmFiles) -> None:
    """EnvironmentLacksError: the kernel has no KSM."""
    if not files.has("run"):
        raise EnvironmentLacksError(
            f"{files.root} is missing: this kernel has no KSM (CONFIG_KSM), or /sys is not mounted; "
            "use another kernel, or the emulator"
        )


def require_idle(files: KsmFiles, wait: float = 0.0) -> None:
    """EnvironmentLacksError: another process has mergeable memory, or pages are merged already.

    wait: seconds that such processes may take to end.
    """
    end = time.monotonic() + wait
    while time.monotonic() < end and any(True for _ in mergeable_processes()):
        time.sleep(_POLL)
    require_alone()
    if files.read("pages_shared"):
        raise EnvironmentLacksError(
            f"{files.read('pages_shared')} pages are merged already; unmerge them first: echo 2 > {files.root / 'run'}"
        )


def require_alone(ours: Collection[int] = ()) -> None:
    """EnvironmentLacksError: a process that is not one of ours has mergeable or merged memory. ours: pids."""
    for pid in mergeable_processes():
        if pid in ours:
            continue
        raise EnvironmentLacksError(
            f"process {pid} ({process_name(pid)}) has mergeable memory, which ksmd would scan too; "
            "end it (QEMU: start it with -machine mem-merge=off)"
        )


def mergeable_processes() -> Iterator[int]:
    """Yield the pids of all processes with memory that ksmd scans or has merged, ascending."""
    pids = sorted(int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())
    return (pid for pid in pids if _is_mergeable(pid))


def _is_mergeable(pid: int) -> bool:
    """Judge by ksm_stat; kernels before 6.16 do not say `ksm_mergeable`, but count rmap items."""
    try:
        lines = _stat_lines(pid)
    except OSError:
        return False  # it has just ended, or it is a kernel thread
    words = dict(line.replace(":", "").split() for line in lines)
    if "yes" in (words.get("ksm_mergeable"), words.get("ksm_merge_any")):
        return True
    return any(int(words.get(name, "0")) for name in ("ksm_rmap_items", "ksm_merging_pages"))


def process_counters(pid: int) -> dict[str, int]:
    """Return the figures of /proc/PID/ksm_stat. GuestError: the process is gone."""
    try:
        lines = _stat_lines(pid)
    except OSError as error:
        raise GuestError(f"process {pid} is gone ({error.strerror}); leave it to the script") from None
    return {line.split()[0]: int(line.split()[1]) for line in lines if ":" not in line}


def _stat_lines(pid: int) -> list[str]:
    return (PROC / str(pid) / "ksm_stat").read_text().splitlines()
