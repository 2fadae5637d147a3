"""From the name of a libvirt domain to its QEMU's process: for all who look at a running guest's memory.

libvirt tells QEMU the name on its command line, so no daemon need be asked, whoever's it is. A program of another
user's could say the same of itself; so where several do, the one counts that libvirt has written down.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

_PROC = Path("/proc")
# libvirt's own notes: of the system's daemon, of a user's.
_NOTES = ("/run/libvirt/qemu/{name}.pid", "{runtime}/libvirt/qemu/run/{name}.pid")


def process_of(domain: str) -> int | None:
    """The pid of a running domain's QEMU; None: there is none."""
    found = [pid for pid in _processes() if domain_of(_arguments(pid)) == domain]
    return next((pid for pid in _noted(domain) if pid in found), found[0] if found else None)


def domain_of(arguments: Sequence[str]) -> str:
    """The name that a QEMU of these arguments was given, or nothing. Source: qemu(1), -name; a comma is doubled."""
    named = [after for before, after in pairwise(arguments) if before == "-name"]
    first = named[0].replace(",,", "\0").partition(",")[0].replace("\0", ",") if named else ""
    return first.removeprefix("guest=")


def _processes() -> list[int]:
    return sorted(int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())


def _arguments(pid: int) -> list[str]:
    try:
        return os.fsdecode((_PROC / str(pid) / "cmdline").read_bytes()).split("\0")
    except OSError:
        return []  # it has ended


def _noted(domain: str) -> Iterator[int]:
    runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    for note in _NOTES:
        try:
            yield int(Path(note.format(name=domain, runtime=runtime)).read_text())
        except (OSError, ValueError):
            continue
