"""What is to be provisioned: guests, tunables, for how long. Written to a file, which later steps read."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from vmdedup.errors import UsageError
from vmdedup.ours import file
from vmdedup.result.reading import read_document

FILE = "plan.json"
STOP = "stop"  # a file of this name beside the plan ends the measuring early

# Workloads that a real guest can run, and the parameters of the emulated one that its program takes too.
PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "boot": (),
    "build": ("jobs", "starts_s"),
    "fileserver": ("files", "zipf", "file_kib", "read_mib_s", "write_mib_s"),
    "idle": (),
    "phases": ("kind", "fill_share", "same_share", "between_guests", "mib_s", "pause_s"),
    "webdb": ("workers", "read_mib_s", "rows_s", "growth_mib_s"),
}


@dataclass(frozen=True, slots=True)
class GuestPlan:
    """One guest. name: in results. domain: for libvirt. port: of this machine, forwarded to its SSH server.

    image: what it boots from. parameters: of its workload, as text. sharing: whether KSM may merge its memory.
    """

    name: str
    group: str
    domain: str
    image: str
    memory_mib: int
    workload: str
    parameters: Mapping[str, str]
    port: int
    sharing: bool = True


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A whole run. tunables: of KSM, as text, `run` among them. seconds, interval: of the measured part.

    name, seed, scenario: as in run.json. accelerator: tcg or kvm; auto: to be found out.
    """

    name: str
    seed: int
    guests: tuple[GuestPlan, ...]
    tunables: Mapping[str, str]
    seconds: float
    interval: float
    accelerator: str = "tcg"
    scenario: Mapping[str, Any] | None = None

    @property
    def images(self) -> list[str]:
        """Names of the images that the guests boot from, each once."""
        return sorted({guest.image for guest in self.guests})

    def save(self, directory: Path) -> Path:
        """Write plan.json."""
        path = directory / FILE
        file.write(path, json.dumps(asdict(self), indent=2, sort_keys=True) + "\n")
        return path

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read plan.json. UsageError: it is not there, or broken."""
        path = directory / FILE
        try:
            fields = read_document(path)
            guests = tuple(GuestPlan(**guest) for guest in fields.pop("guests"))
            return cls(guests=guests, **fields)
        except (UsageError, TypeError, KeyError) as error:
            raise UsageError(f"{path} is no plan of a run ({error}); give the folder of `vmdedup live run`") from None


def domain_name(scenario: str, guest: str) -> str:
    """The domain of a guest: at most 60 characters, so that it can be a host name too."""
    return f"vmdedup-{scenario[:19].rstrip('-.')}-{guest}"[:60]


def check_workload(guest: str, workload: str, parameters: Sequence[str]) -> list[str]:
    """The parameters that have no meaning in a real guest. UsageError: the workload has none."""
    if workload not in PROGRAMS:
        raise UsageError(
            f"guest {guest!r}: workload {workload!r} exists in the emulator only; give one of {', '.join(PROGRAMS)}"
        )
    return [name for name in parameters if name not in PROGRAMS[workload]]


def free_ports(count: int) -> list[int]:
    """So many TCP ports of the loopback interface that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
