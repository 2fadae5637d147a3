"""Where a script can be played, as --on names it: emulator[:VERSION], kernel, vm:VERSION, vm:PATH, or several."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmdedup.replay.machine import Machine
    from vmdedup.replay.script import Script

EMULATOR, KERNEL, BOTH, GUEST = "emulator", "kernel", "both", "vm:"
DESCRIPTORS = 2  # that a process of a script takes here while it lives, on this machine's kernel


def places(text: str, kernel: str | None) -> list[str]:
    """The places that --on names. kernel: the version that is emulated, where a place does not say.

    UsageError: there is no such place, or nothing that would be emulated as that version.
    """
    from vmdedup.errors import UsageError

    named = [EMULATOR, KERNEL] if text == BOTH else text.split(",")
    for name in named:
        if name not in (EMULATOR, KERNEL) and not re.fullmatch(f"({EMULATOR}:|{GUEST}).+", name):
            known = "emulator, emulator:6.1, kernel, vm:7.2, vm:PATH/bzImage, or several of them with commas between"
            raise UsageError(f"--on {name!r} is no place to play scripts on; give {known}")
    if kernel is not None:
        if EMULATOR not in named:
            raise UsageError("--kernel says what the emulator does as; leave it out with --on kernel and --on vm:…")
        named = [f"{name}:{kernel}" if name == EMULATOR else name for name in named]
    return named


def machine(place: str, script: Script) -> AbstractContextManager[Machine]:
    """The machine of that place, large enough for the script."""
    if place.startswith(GUEST):
        return _guest(place.removeprefix(GUEST), script)
    if place.startswith(EMULATOR):
        from vmdedup.replay.emulated import emulated

        return emulated(script, place.removeprefix(EMULATOR).removeprefix(":") or None)
    from vmdedup.limits import need_descriptors
    from vmdedup.live.scripts.kernel import KernelMachine

    need_descriptors(DESCRIPTORS * script.most_alive(), f"{script.most_alive()} processes")
    return KernelMachine()


@contextmanager
def _guest(name: str, script: Script) -> Iterator[Machine]:
    from vmdedup.vmkernel.session import Booted

    with Booted(name) as kernel:
        yield kernel.machine(script)
