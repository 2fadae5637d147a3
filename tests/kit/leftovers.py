"""What may be left behind on a machine: processes, shared memory, temporary folders, mounts, changed tunables."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from vmdedup.errors import EnvironmentLacksError
from vmdedup.live.ksm.lock import KsmLock
from vmdedup.live.ksm.sysfs import KSM, KsmFiles

# A variable in the environment of all that is started, orphans included: processes are known by its value.
MARK = "VMDEDUP_TESTS"
GRACE = 15.0  # seconds that what is ending may take
Found = TypeVar("Found", list[str], dict[int, str])


def wait_for_none(look: Callable[[], Found], grace: float = GRACE) -> Found:
    """What is there still when the time of grace is over."""
    end = time.monotonic() + grace
    while (found := look()) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def marked(mark: str, name: str = MARK) -> dict[int, str]:
    """Processes that have a mark in their environment, with their command lines."""
    wanted = f"{name}={mark}".encode()
    return {pid: line for pid, line in _all_processes() if wanted in _environment(pid)}


def children(parent: int) -> dict[int, str]:
    """Processes with this parent, with their command lines."""
    return {pid: line for pid, line in _all_processes() if _parent(pid) == parent}


def _all_processes() -> Iterable[tuple[int, str]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                line = (folder / "cmdline").read_bytes().replace(bytes(1), b" ")
            except OSError:
                continue  # it has ended
            yield int(folder.name), line.decode(errors="replace")[:200]


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(bytes(1))
    except OSError:
        return []  # it has ended, or is somebody else's


def _parent(pid: int) -> int:
    return int(_stat(pid)[1])


def state(pid: int) -> str:
    """The letter of a process's state; X if there is none."""
    return _stat(pid)[0]


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ["X", "0"]


def shared_memory() -> set[str]:
    """Names in /dev/shm."""
    folder = Path("/dev/shm")
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def held_by_others(mark: str, name: str = MARK) -> set[str]:
    """Names there that a process has open or mapped which lacks the mark: the machine is not ours alone."""
    held: set[str] = set()
    wanted = f"{name}={mark}".encode()
    for pid, _ in _all_processes():
        if wanted not in _environment(pid):
            held |= {target.removeprefix("/dev/shm/") for target in _targets(pid) if target.startswith("/dev/shm/")}
    return held


def _targets(pid: int) -> Iterator[str]:
    """What a process has open or mapped."""
    for kind in ("fd", "map_files"):
        with suppress(OSError):
            for link in Path(f"/proc/{pid}/{kind}").iterdir():
                with suppress(OSError):
                    yield os.readlink(link)


def mounts() -> set[str]:
    """Where something is mounted; not where `ip netns` has its names, as tests that need networks do beside others."""
    places = {line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()}
    return {place for place in places if not place.startswith("/run/netns")}


def tunables(wait: float) -> dict[str, str] | None:
    """The tunables as they are while nobody uses the kernel's KSM; None if that cannot be seen."""
    if os.geteuid() != 0 or not (KSM / "run").exists():
        return None
    try:
        lock = KsmLock(wait=wait)
    except EnvironmentLacksError:
        return None
    files = KsmFiles()
    try:
        return files.save()
    finally:
        files.close()
        lock.close()
