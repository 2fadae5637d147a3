"""What guests of the papers are made of where an experiment says nothing else: general systems of another time.

They boot more than Debian's image for clouds does, their kernel is a plain one, and a quarter of what a program begins
with is alike in all of its processes. Nobody knows what those systems held: it is our estimate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from vmdedup.guest.mixes import HeapMix
from vmdedup.guest.workloads import workload_class

BOOT: Final[Mapping[str, Any]] = {"processes": 24, "cache_share": 0.35, "heap_share": 0.18}
HEAP: Final[Mapping[str, float]] = {
    "zero_pages": 0.04,
    "common": 0.25,
    "similar": 0.0,
    "zero_tail": 0.20,
    "repeated": 0.0,
    "pointers": 0.30,
    "integers": 0.25,
    "text": 0.30,
    "freed": 0.08,
}
MIX: Final = HeapMix(**HEAP)
_KERNEL: Final[Mapping[str, Any]] = {"kernel_mib": 16, "aslr": "off"}


def of_the_time(group: Mapping[str, Any]) -> dict[str, Any]:
    """A group of a scenario, with what it does not say."""
    workload = group.get("workload", "idle")
    told = {**_KERNEL, **group, "heap": {**HEAP, **group.get("heap", {})}}
    if workload == "boot":
        told["parameters"] = {**BOOT, **group.get("parameters", {})}
    else:
        told["boot"] = {**BOOT, **workload_class(workload).boot, **group.get("boot", {})}
    return told


def options_of_the_time(options: Mapping[str, Any]) -> dict[str, Any]:
    """The same for a guest's spec. heap: a HeapMix, if it is said."""
    own = {"heap": MIX, **_KERNEL, **options}
    workload = own.get("workload", "idle")
    return {**own, "boot": {**BOOT, **workload_class(workload).boot, **own.get("boot", {})}}
