"""The tables of a guest whose keys are declared beside what they steer: what keys there are, and what they make.

disk, variant, heap, boot, balloon, parameters: tables of a group in a scenario. OPTIONS: keys of the group itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vmdedup.errors import UsageError
from vmdedup.guest.diskspec import DiskSpec
from vmdedup.guest.mixes import HeapMix
from vmdedup.guest.parameters import Parameter, parameters_of
from vmdedup.guest.spec import BalloonSpec, GuestSpec, Variant
from vmdedup.guest.workloads import WORKLOADS, workload_parameters
from vmdedup.shown import quoted
from vmdedup.units import MIB, SECOND_NS, parse_duration, parse_share, parse_size

Parameters = Mapping[str, Parameter]

OPTIONS: Parameters = parameters_of(GuestSpec)


_DISK: Parameters = {
    "path": Parameter("path", "/usr", "", "a directory, or an image file"),
    "image": Parameter("image", "", "", "the name of an image that is built: see vmdedup image list"),
    **parameters_of(DiskSpec),
}


def keys_of(table: str, workload: str) -> Parameters:
    """What may stand in a table of a group that does this. An unknown workload has no parameters."""
    return _KEYS[table](workload)


def made(table: str, workload: str, said: Mapping[str, Any]) -> Any:
    """What is said in a table as what it describes: a DiskSpec, a Variant, a HeapMix, or parameters by name.

    Where nothing is said, the workload is not loaded. Raises UsageError.
    """
    declared = keys_of(table, workload) if said else {}
    values = {key: value_of(declared[key], value) for key, value in said.items()}
    return _MAKERS.get(table, dict)(**values)


def value_of(parameter: Parameter, value: Any) -> Any:
    """A value as its declaration has it; text with a unit is read by that unit. Raises UsageError."""
    if isinstance(parameter.default, str) and not parameter.choices:
        if not isinstance(value, str) or not value:
            raise UsageError(f"{quoted(value)} is no text; give {parameter.meaning}")
        return value
    if isinstance(value, str) and parameter.unit in _READERS:
        value = _READERS[parameter.unit](value)
        value = int(value) if isinstance(parameter.default, int) and value == int(value) else value
    return parameter.checked(value)


_KEYS: Mapping[str, Callable[[str], Parameters]] = {
    "disk": lambda _: _DISK,
    "variant": lambda _: parameters_of(Variant),
    "heap": lambda _: parameters_of(HeapMix),
    "balloon": lambda _: parameters_of(BalloonSpec),
    "boot": lambda _: workload_parameters("boot"),
    "parameters": lambda workload: workload_parameters(workload) if workload in WORKLOADS else {},
}
_MAKERS: Mapping[str, Callable[..., Any]] = {
    "disk": DiskSpec,
    "variant": Variant,
    "heap": HeapMix,
    "balloon": BalloonSpec,
}
_READERS: Mapping[str, Callable[[str], float]] = {
    "share": parse_share,
    "MiB": lambda text: parse_size(text) / MIB,
    "MiB/s": lambda text: parse_size(text.removesuffix("/s")) / MIB,
    "s": lambda text: parse_duration(text) / SECOND_NS,
    "ms": lambda text: parse_duration(text) / 1_000_000,
}
