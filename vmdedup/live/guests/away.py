"""Takes away the guests of a run, with libvirt or without: also as a program, for a guardian whose owner was killed."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

from vmdedup.errors import VmdedupError
from vmdedup.live.guests.connection import Connection
from vmdedup.live.guests.guest import qemu_pid
from vmdedup.live.guests.removal import list_ours, remove
from vmdedup.ours import child
from vmdedup.shown import shown


def take_away(domains: Sequence[str]) -> None:
    """Remove domains of ours by name, as far as they are there; if libvirt is not, end their processes.

    VmdedupError: libvirt was not there, so definitions may stay.
    """
    try:
        with Connection() as connection:
            remove(connection, [ours.name for ours in list_ours(connection) if ours.name in domains])
    except VmdedupError:
        for name in domains:
            with suppress(VmdedupError, ProcessLookupError):
                os.kill(qemu_pid(name), signal.SIGKILL)
        raise


def remedy(domains: Sequence[str]) -> str:
    """What to do where they could not be taken away."""
    return f"guests may be left; remove them: vmdedup live remove {' '.join(domains)}"


def command(domains: Sequence[str]) -> list[str]:
    """What takes them away in a process of its own."""
    return child.python_module(__name__, *domains)


def main() -> int:
    """Take the domains away that are named as arguments; 1: libvirt was not there."""
    try:
        take_away(sys.argv[1:])
    except VmdedupError as error:
        sys.stderr.write(f"vmdedup: {shown(error)}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
