"""The workloads, by name. One file each; to add one, write its class and its line in the table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vmdedup.errors import UsageError
from vmdedup.guest.guestkernel import GuestKernel
from vmdedup.guest.parameters import Parameter, fill, parameters_of
from vmdedup.guest.phone.workload import Phone
from vmdedup.guest.workloads.base import Workload
from vmdedup.guest.workloads.boot import Boot
from vmdedup.guest.workloads.build import Build
from vmdedup.guest.workloads.dbench import Dbench
from vmdedup.guest.workloads.desktop import Desktop
from vmdedup.guest.workloads.fileserver import FileServer
from vmdedup.guest.workloads.idle import Idle
from vmdedup.guest.workloads.phases import Phases
from vmdedup.guest.workloads.stress import Stress
from vmdedup.guest.workloads.webdb import WebDb

WORKLOADS: Mapping[str, type[Workload[Any]]] = {
    workload.name: workload
    for workload in (Idle, Boot, FileServer, Build, WebDb, Dbench, Desktop, Phases, Stress, Phone)
}


def workload_class(name: str) -> type[Workload[Any]]:
    """The class of a workload. Raises UsageError for an unknown name."""
    if name not in WORKLOADS:
        raise UsageError(f"workload {name!r} is unknown; give one of {', '.join(WORKLOADS)}")
    return WORKLOADS[name]


def workload_parameters(name: str) -> dict[str, Parameter]:
    """The parameters of a workload by name, with default, unit, meaning and range."""
    return parameters_of(workload_class(name).Parameters)


def check_parameters(name: str, values: Mapping[str, object]) -> None:
    """Raises UsageError if a workload has no such parameters or would not accept the values."""
    filled_parameters(name, values)


def filled_parameters(name: str, values: Mapping[str, object]) -> Any:
    """The parameters of a workload, an instance of its dataclass, with values in place of defaults."""
    return fill(workload_class(name).Parameters, values, f"workload {name!r}")


def make_workload(name: str, kernel: GuestKernel, values: Mapping[str, object]) -> Workload[Any]:
    """A workload, ready for its first step."""
    return workload_class(name)(kernel, filled_parameters(name, values))


def make_boot(workload: str, kernel: GuestKernel, values: Mapping[str, object]) -> Boot:
    """The boot that comes before a workload. values: what the scenario says of it."""
    merged = {**workload_class(workload).boot, **values}
    return Boot(kernel, fill(Boot.Parameters, merged, "boot"))
