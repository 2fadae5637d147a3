"""The workloads, by name. One file each; to add one, write its class and its line in the table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from vmdedup.errors import UsageError
from vmdedup.guest.parameters import Parameter, fill, parameters_of
from vmdedup.late import load

if TYPE_CHECKING:
    from vmdedup.guest.guestkernel import GuestKernel
    from vmdedup.guest.workloads.base import Workload
    from vmdedup.guest.workloads.boot import Boot

WORKLOADS: Final[Mapping[str, str]] = {
    "idle": "vmdedup.guest.workloads.idle:Idle",
    "boot": "vmdedup.guest.workloads.boot:Boot",
    "fileserver": "vmdedup.guest.workloads.fileserver:FileServer",
    "build": "vmdedup.guest.workloads.build:Build",
    "webdb": "vmdedup.guest.workloads.webdb:WebDb",
    "database": "vmdedup.guest.workloads.database:Database",
    "files": "vmdedup.guest.workloads.files:Files",
    "compile": "vmdedup.guest.workloads.compile:Compile",
    "dbench": "vmdedup.guest.workloads.dbench:Dbench",
    "desktop": "vmdedup.guest.workloads.desktop:Desktop",
    "phases": "vmdedup.guest.workloads.phases:Phases",
    "stress": "vmdedup.guest.workloads.stress:Stress",
    "phone": "vmdedup.guest.phone.workload:Phone",
}


def workload_class(name: str) -> type[Workload[Any]]:
    """The class of a workload. Raises UsageError for an unknown name."""
    if name not in WORKLOADS:
        raise UsageError(f"workload {name!r} is unknown; give one of {', '.join(WORKLOADS)}")
    found: type[Workload[Any]] = load(WORKLOADS[name])
    return found


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
    first: Any = workload_class("boot")
    merged = {**workload_class(workload).boot, **values}
    boot: Boot = first(kernel, fill(first.Parameters, merged, "boot"))
    return boot
