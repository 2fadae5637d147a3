"""The kernel's KSM: is it there, may we drive it, does its thread live, is somebody using it?"""

from __future__ import annotations

import gzip
import os
import platform
from collections.abc import Iterator
from typing import Final

from vmdedup.doctor.finding import Finding, good, lack, note
from vmdedup.doctor.machine import Machine
from vmdedup.doctor.scene import KSM, OURS, Scene

MODERN: Final = "smart_scan"  # file that Linux 6.7 brought


def check_ksm(scene: Scene) -> Iterator[Finding]:
    """Findings of the group ksm."""
    if scene.ksm is None:
        yield _absent(scene.machine)
        return
    if MODERN in scene.ksm:
        yield good("ksm.present", "this kernel has KSM")
    else:
        text = "this kernel's KSM is older than Linux 6.7: no smart scan, no advisor, fewer counters"
        yield lack("ksm.present", text, "boot Linux 6.8 or later", "kernel")
    yield _root(scene)
    yield _thread(scene)
    yield _lock(scene)
    yield _left(scene)


def _absent(machine: Machine) -> Finding:
    setting = kernel_option(machine, "CONFIG_KSM")
    if setting == "y":
        why, remedy = "built in, but /sys is not mounted here", "mount -t sysfs sysfs /sys"
    else:
        why = "CONFIG_KSM is not set" if setting else "there is no /sys/kernel/mm/ksm"
        remedy = "boot a kernel with CONFIG_KSM=y (Debian's and Ubuntu's have it); the emulator works without"
    return lack("ksm.present", f"this kernel has no KSM: {why}", remedy, "kernel", "merging")


def kernel_option(machine: Machine, option: str) -> str:
    """y, m, n, or nothing if the running kernel's configuration is not told anywhere."""
    text = machine.text(f"/boot/config-{platform.release()}")
    if text is None:
        try:
            text = gzip.decompress(machine.path("/proc/config.gz").read_bytes()).decode(errors="replace")
        except (OSError, EOFError):
            return ""
    found = [line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{option}=")]
    return found[0] if found else "n"


def _root(scene: Scene) -> Finding:
    writable = os.access(scene.machine.path(f"{KSM}/run"), os.W_OK)
    if scene.machine.is_root and writable:
        return good("ksm.root", "its tunables can be set")
    if scene.machine.is_root:
        text, remedy = f"{KSM} is read-only, even to root", "leave the container, or mount /sys writable in it"
        return lack("ksm.root", text, remedy, "kernel")
    return lack("ksm.root", "its tunables can be set by root only", "run vmdedup with sudo", "kernel")


def _thread(scene: Scene) -> Finding:
    for process in scene.processes:
        if process.name == "ksmd" and not process.arguments:
            return good("ksm.thread", f"ksmd is process {process.pid}", process.pid)
    text = "ksmd is not to be seen: this is a container, or a PID namespace of its own"
    return lack("ksm.thread", text, "run vmdedup on the host itself, or in its PID namespace", "kernel")


def _lock(scene: Scene) -> Finding:
    holder, folder = scene.holder, scene.machine.path(OURS)
    if not holder and folder.exists() and not (scene.machine.is_root and os.access(folder, os.X_OK)):
        return note(
            "ksm.lock", "whether another vmdedup is using it is for root to see", "run vmdedup doctor with sudo"
        )
    if not holder:
        return good("ksm.lock", "no other vmdedup is using it")
    comm = (scene.machine.text(f"/proc/{holder}/comm") or "").strip() or "ended; its guardian still restores"
    text = f"KSM is in use by process {holder} ({comm}), so tunables and counters are its"
    return note("ksm.lock", text, f"wait until it ends, or: kill {holder}", holder)


def _left(scene: Scene) -> Finding:
    if not scene.left:
        return good("ksm.left", "no run that was killed has left tunables changed")
    text = f"a run was killed together with its guardian; what it left changed stands in {', '.join(scene.left)}"
    return lack("ksm.left", text, "vmdedup live restore (the next run does so too)", "merging", "kernel")
