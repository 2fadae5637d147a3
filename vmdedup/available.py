"""How much memory this machine, and the control groups that we are in, still give us.

    MemAvailable                                              of the machine
    limit - (in use - inactive file pages)                    of our control group, and of each one above it

The smallest is what we get. Versions 1 and 2 of control groups, and both at once.
Source: Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst; proc(5) on mountinfo; cgroups(7).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from vmdedup.errors import HostError


@dataclass(frozen=True)
class Available:
    """bytes: that can still be taken. where: who says so, for a message; "here" for the machine as a whole."""

    bytes: int
    where: str = "here"


class _Files(NamedTuple):
    """Names of a control group's files, and of inactive file pages in its memory.stat."""

    limit: str
    used: str
    inactive: str


_FILES = {
    "cgroup2": _Files("memory.max", "memory.current", "inactive_file"),
    "cgroup": _Files("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


class _Mount(NamedTuple):
    """A mounted hierarchy that counts memory. top: the group that its folder stands for."""

    kind: str
    folder: str
    top: str


def available_memory(root: Path = Path("/")) -> Available:
    """What can still be taken. root: where /proc and /sys are, for tests. HostError: this is no Linux."""
    found = [Available(_meminfo(root, "MemAvailable")), *_groups(root)]
    return min(found, key=lambda one: one.bytes)


def _meminfo(root: Path, name: str) -> int:
    with suppress(OSError):
        for line in (root / "proc/meminfo").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    raise HostError(f"/proc/meminfo has no {name}; vmdedup needs Linux")


def _groups(root: Path) -> Iterator[Available]:
    """Each limit of a group that we are in, directly or by one below it."""
    with suppress(OSError):
        ours = dict(_memberships((root / "proc/self/cgroup").read_text()))
        for mount in _mounts((root / "proc/self/mountinfo").read_text()):
            if mount.kind in ours:
                yield from _limits(root, mount, ours[mount.kind])


def _memberships(text: str) -> Iterator[tuple[str, str]]:
    """(kind of hierarchy, our group in it) of /proc/self/cgroup, for those that may count memory."""
    for line in text.splitlines():
        number, controllers, group = line.split(":", 2)
        if number == "0" and not controllers:
            yield "cgroup2", group
        elif "memory" in controllers.split(","):
            yield "cgroup", group


def _mounts(text: str) -> Iterator[_Mount]:
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind, options = before.split(), after.split()[0], after.split()[-1]
        if kind == "cgroup2" or (kind == "cgroup" and "memory" in options.split(",")):
            yield _Mount(kind, _plain(fields[4]), _plain(fields[3]))


def _plain(escaped: str) -> str:
    """A path of mountinfo, in which blanks and backslashes are octal."""
    return escaped.encode("latin-1", "backslashreplace").decode("unicode_escape") if "\\" in escaped else escaped


def _limits(root: Path, mount: _Mount, group: str) -> Iterator[Available]:
    """From our group up to the highest one that can be seen. What is not there, or says nothing, is passed by."""
    files = _FILES[mount.kind]
    top = root / mount.folder.lstrip("/")
    inside = group == mount.top or group.startswith(mount.top.rstrip("/") + "/")
    path = top / group.removeprefix(mount.top.rstrip("/")).lstrip("/") if inside else top
    while True:
        with suppress(OSError, ValueError):
            limit = int((path / files.limit).read_text())  # "max", which is no number, is no limit
            in_use = int((path / files.used).read_text()) - _inactive(path, files.inactive)
            place = f"/{path.relative_to(top)}" if path != top else mount.top
            yield Available(max(0, limit - max(0, in_use)), f"to control group {place}")
        if path == top:
            return
        path = path.parent
        if mount.kind == "cgroup" and _is_apart(path):
            return


def _inactive(path: Path, name: str) -> int:
    """File pages that the kernel gives up before it kills anybody."""
    with suppress(OSError):
        for line in (path / "memory.stat").read_text().splitlines():
            if line.startswith(f"{name} "):
                return int(line.split()[1])
    return 0


def _is_apart(path: Path) -> bool:
    """Whether a group of version 1 does not count what those below it use."""
    with suppress(OSError):
        return (path / "memory.use_hierarchy").read_text().strip() == "0"
    return False
