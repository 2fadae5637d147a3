"""Tunables that all controllers have, and how a law's constants become tunables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vmdedup.ksm.sysfs import I32, TUNABLES, Tunable

_COMMON: Final = (
    Tunable("initial_run", 1, "whether ksmd runs until the controller first looks; [ksm] run = 0 says so, too", high=1),
    Tunable("host_memory_mib", 0, "memory that the host is taken to have; 0: as much as it has", "MiB"),
)


def controlled(*own: Tunable) -> dict[str, Tunable]:
    """KSM's tunables, those of every controller, and one's own."""
    return TUNABLES | {tunable.name: tunable for tunable in (*_COMMON, *own)}


def own_names(tunables: Mapping[str, Tunable]) -> list[str]:
    """Those that ksmd does not have."""
    return [name for name in tunables if name not in TUNABLES]


def signed(name: str, default: int, meaning: str, unit: str = "pages") -> Tunable:
    """A tunable that may be below zero."""
    return Tunable(name, default, meaning, unit, "integer", -I32 - 1, I32)


def seconds(name: str, default: int, meaning: str) -> Tunable:
    """A tunable that is a time, at least a second."""
    return Tunable(name, default, meaning, "s", low=1)
