"""A kernel booted for scripts: what guest each needs, and machines in them that play one script after the other."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Self

from vmdedup.errors import GuestError
from vmdedup.replay.script import Script
from vmdedup.replay.steps import DISK, Migrate, Node, Swapon, Vm
from vmdedup.vmkernel.guest import Guest
from vmdedup.vmkernel.machine import GuestMachine
from vmdedup.vmkernel.qemu import Shape
from vmdedup.vmkernel.store import kernel

DISK_MIB = 64
LEAST_MIB = 768  # of a node; the kernel turns huge pages off where it is left less than 512
_KERNEL_MIB = 256  # that it takes itself


class Booted:
    """One kernel, in a guest for each shape that scripts ask for, booted when it is first asked for."""

    def __init__(self, name: str) -> None:
        """name: 7.2, or PATH/bzImage. UsageError: there is no such kernel."""
        self.kernel = kernel(name)
        self._guests: dict[Shape, tuple[Guest, GuestMachine]] = {}

    def machine(self, script: Script) -> GuestMachine:
        """A machine for a script, in the start state. It is booted anew if it has broken down.

        EnvironmentLacksError: no QEMU. GuestError: it does not boot.
        """
        wanted = shape(script)
        if wanted in self._guests:
            try:
                self._guests[wanted][1].start()
            except GuestError:
                self._guests.pop(wanted)[0].close()
        if wanted not in self._guests:
            self._guests[wanted] = self._boot(wanted)
        return self._guests[wanted][1]

    def _boot(self, wanted: Shape) -> tuple[Guest, GuestMachine]:
        with ExitStack() as stack:
            guest = stack.enter_context(Guest(self.kernel.image, wanted))
            machine = GuestMachine(guest, self.kernel.modules)
            stack.pop_all()
        return guest, machine

    def close(self) -> None:
        """End all guests. Harmless when done already."""
        while self._guests:
            self._guests.popitem()[1][0].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def shape(script: Script) -> Shape:
    """What a script needs of a guest."""
    nodes, has_swap = 1, False
    for step in script.steps:
        has_swap |= isinstance(step, Swapon) and step.device == DISK
        node = step.options.node if isinstance(step, Vm) else step.node if isinstance(step, Migrate | Node) else 0
        nodes = max(nodes, 1 + (node or 0))
    wanted = _KERNEL_MIB + (script.pages() >> 8) * 2  # all pages on one node, and as much again
    return Shape(nodes, max(LEAST_MIB, -(-wanted // 256) * 256), DISK_MIB if has_swap else 0)
