"""ksmtuned: does it run, does its pattern see the guests, and does its law let KSM run at all?

Source: ksmtuned 4.20150326 (Debian): KSM is stopped while committed + threshold < total and free > threshold.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Final

from vmdedup.doctor.finding import Finding, lack, note
from vmdedup.doctor.machine import Machine
from vmdedup.doctor.processes import Process
from vmdedup.doctor.scene import KSM, Scene
from vmdedup.units import format_size

CONFIGURATION: Final = "/etc/ksmtuned.conf"
_PATTERN: Final = re.compile(r"pgrep\s[^\n]*?(['\"])(?P<pattern>[^'\"\n]*qemu[^'\"\n]*)\1")
_DEFAULTS: Final = {"KSM_THRES_COEF": 20, "KSM_THRES_CONST": 2048}


def check_tuned(scene: Scene) -> Iterator[Finding]:
    """Findings of the group ksmtuned."""
    running = [process for process in scene.processes if _is_ksmtuned(process)]
    if not running or scene.ksm is None:
        return
    text = f"ksmtuned runs (process {running[0].pid}): it sets run, pages_to_scan and sleep_millisecs every minute"
    yield note("ksmtuned.running", text, "systemctl disable --now ksmtuned, to set them yourself", running[0].pid)
    guests = [process for process in scene.processes if process.is_guest]
    pattern = tuned_pattern(scene.machine)
    matched = _matching(guests, pattern)
    if guests and pattern and len(matched) < len(guests):
        yield _blind(pattern, len(guests), len(matched))
    yield from _threshold(scene, matched)


def _is_ksmtuned(process: Process) -> bool:
    return process.name == "ksmtuned" or any(word.endswith("/ksmtuned") for word in process.arguments[:2])


def tuned_pattern(machine: Machine) -> str:
    """The pattern by which ksmtuned looks for guests, out of its script; nothing if it cannot be found."""
    found = _PATTERN.search(machine.text("/usr/sbin/ksmtuned") or "")
    return found["pattern"] if found else ""


def _matching(guests: list[Process], pattern: str) -> list[Process]:
    """The guests that the pattern matches as pgrep -f would."""
    try:
        return [guest for guest in guests if pattern and re.search(pattern, guest.command)]
    except re.error:
        return guests


def _blind(pattern: str, guests: int, matched: int) -> Finding:
    seen = "none" if not matched else f"only {matched}"
    text = (
        f"ksmtuned sees {seen} of {guests} guests: its pattern {pattern!r} wants a bare name and -enable-kvm, "
        "libvirt writes /usr/bin/qemu-system-… and -accel"
    )
    remedy = f"sed -i 's/{_quoted(pattern)}/qemu-system/' /usr/sbin/ksmtuned && systemctl restart ksmtuned"
    return lack("ksmtuned.pattern", text, remedy, "merging")


def _quoted(pattern: str) -> str:
    """The pattern as text in a sed expression."""
    return re.sub(r"([\^.*/$\[\]])", r"\\\1", pattern)


def tuned_setting(machine: Machine, name: str) -> int:
    """A number of ksmtuned's configuration, or its default."""
    lines = (
        shlex.split(line, comments=True) for line in (machine.text(CONFIGURATION) or "").splitlines() if name in line
    )
    values = [word.partition("=")[2] for words in lines for word in words if word.startswith(f"{name}=")]
    return int(values[-1]) if values and values[-1].isdecimal() else _DEFAULTS[name]


def _threshold(scene: Scene, matched: list[Process]) -> Iterator[Finding]:
    """Whether its law stops KSM now. All in KiB, as it reckons."""
    memory = scene.machine.fields("/proc/meminfo")
    total, free = memory.get("MemTotal", 0), sum(memory.get(name, 0) for name in ("MemFree", "Buffers", "Cached"))
    share = tuned_setting(scene.machine, "KSM_THRES_COEF")
    threshold = max(total * share // 100, tuned_setting(scene.machine, "KSM_THRES_CONST"))
    committed = sum(process.status.get("VmRSS", 0) for process in matched)
    if total and committed + threshold < total and free > threshold:
        text = (
            f"ksmtuned keeps KSM stopped: {format_size(free * 1024)} are free or cache, and it starts below "
            f"{format_size(threshold * 1024)} ({share} %)"
        )
        remedy = f"KSM_THRES_COEF=99 in {CONFIGURATION}; or systemctl stop ksmtuned; echo 1 > {KSM}/run"
        yield lack("ksmtuned.threshold", text, remedy, "merging")
