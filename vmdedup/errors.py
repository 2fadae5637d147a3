"""Every error that vmdedup raises on purpose.

VmdedupError                 one clear line for the user; exit status 1
├── UsageError               what was asked for cannot be meant; exit status 2
│   ├── ScenarioError        a scenario file: FILE:LINE, what, remedy
│   ├── ScriptError          a KSM script: FILE:LINE, what, remedy
│   └── DumpError            a memory dump or a recording: what is wrong with the file, remedy
├── OutputError              standard output cannot be written
├── HostError                host memory: exhausted, or not to be had from the system
├── GuestError               a guest could not be started, or broke down
├── WorkerDiedError          a process of ours was killed
│   └── BrokeDownError       it ended by an error of its own, so starting it again would not help
├── InvariantError           host/check or ksm/check found the memory inconsistent
├── RefusedError             the kernel would refuse; .errno_name is its own name for why
│   └── KnobError            a tunable refused a value
└── EnvironmentLacksError    root, an idle KSM, a kernel feature is missing; exit status 4
"""

from __future__ import annotations

import os

from vmdedup.shown import quoted


class VmdedupError(Exception):
    """Base of all. The message is one line that says what to do next."""

    exit_status = 1


class UsageError(VmdedupError):
    """The request itself is wrong: a flag, a file, a value."""

    exit_status = 2


class ScenarioError(UsageError):
    """A scenario file does not say something that can be run."""


class ScriptError(UsageError):
    """A KSM script does not follow the grammar."""


class DumpError(UsageError):
    """A memory dump or a recording is damaged, or of no known format."""


class OutputError(VmdedupError):
    """Standard output cannot be written: it is full, or closed."""


class HostError(VmdedupError):
    """Host memory is exhausted, or the system would not give it."""


class GuestError(VmdedupError):
    """A guest could not be started, or broke down."""


class WorkerDiedError(VmdedupError):
    """A process of ours was killed, or broke down."""


class BrokeDownError(WorkerDiedError):
    """A process of ours, or a policy in it, ended by an error of its own. The message says which, and where."""


class InvariantError(VmdedupError):
    """A consistency check found host or ksmd state that must not exist."""


class RefusedError(VmdedupError):
    """What was asked for is nothing that the kernel does. errno_name: why, as the kernel says it (EINVAL, EBUSY, …)."""

    exit_status = 2

    def __init__(self, what: str, errno_name: str) -> None:
        super().__init__(f"{what}: {errno_name}")
        self.what = what
        self.errno_name = errno_name

    def __reduce__(self) -> tuple[type[RefusedError], tuple[str, ...]]:
        return RefusedError, (self.what, self.errno_name)


class KnobError(RefusedError):
    """A tunable refused a value. errno_name: EINVAL, EBUSY or ERANGE, as the kernel's sysfs file would say."""

    def __init__(self, knob: str, value: str, errno_name: str) -> None:
        super().__init__(f"{knob} refuses {quoted(value)}", errno_name)
        self.knob = knob
        self.value = value

    def __reduce__(self) -> tuple[type[RefusedError], tuple[str, ...]]:
        return KnobError, (self.knob, self.value, self.errno_name)


class EnvironmentLacksError(VmdedupError):
    """This machine lacks what the request needs (root, an idle KSM, …)."""

    exit_status = 4


def require_linux() -> None:
    """Raise EnvironmentLacksError where memory without a name is not to be had: everything here is built on Linux's."""
    if not hasattr(os, "memfd_create"):
        raise EnvironmentLacksError("vmdedup runs on Linux only; use a Linux machine, a virtual one or a container")
