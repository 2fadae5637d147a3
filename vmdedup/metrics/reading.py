"""KSM of a host as its files say: this one's, or one whose files are below another folder. Read only.

Only what is there is told: kernels differ in which files they have, and a user may not read all processes'.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vmdedup.errors import EnvironmentLacksError
from vmdedup.ksm.sysfs import COUNTERS, PROCESS_COUNTERS, TUNABLES, as_written

KSM: Final = "sys/kernel/mm/ksm"
_MEMORY: Final = ("MemTotal", "MemFree", "MemAvailable")


@dataclass(frozen=True)
class Process:
    """A process with merged pages, or with pages that ksmd keeps records of. stat: numbers of its ksm_stat."""

    pid: int
    name: str
    stat: Mapping[str, int]


@dataclass(frozen=True)
class Reading:
    """ksm: each number of KSM's folder, by its file's name. advisor: which is on. memory: lines of meminfo, bytes."""

    ksm: Mapping[str, int]
    advisor: str | None
    memory: Mapping[str, int]
    processes: tuple[Process, ...]


def read(root: Path = Path("/")) -> Reading:
    """A host as it is now. EnvironmentLacksError: it has no KSM."""
    texts = {path.name: text for path in sorted((root / KSM).glob("*")) if (text := _text(path)) is not None}
    if "run" not in texts:
        raise EnvironmentLacksError(
            f"{root / KSM} has no files of KSM's; name another --root, or use a kernel with KSM"
        )
    advisor = texts.pop("advisor_mode", None)
    known = [name for name in (*TUNABLES, *COUNTERS) if name in texts]
    return Reading(
        {name: int(texts[name]) for name in known},
        as_written(advisor) if advisor is not None else None,
        _memory(root),
        tuple(_processes(root)),
    )


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _memory(root: Path) -> dict[str, int]:
    lines = dict(line.split(":", 1) for line in (_text(root / "proc/meminfo") or "").splitlines())
    return {name: int(lines[name].split()[0]) * 1024 for name in _MEMORY if name in lines}


def _processes(root: Path) -> Iterator[Process]:
    for path in sorted((root / "proc").glob("[0-9]*/ksm_stat"), key=lambda path: int(path.parent.name)):
        stat = _stat(_text(path) or "")
        if any(stat.values()):
            yield Process(int(path.parent.name), _name(path.parent), stat)


def _stat(text: str) -> dict[str, int]:
    values = {}
    for line in text.splitlines():
        with suppress(ValueError):
            name, value = line.replace(":", " ").split()
            if name in PROCESS_COUNTERS:
                values[name] = int(value)
    return values


def _name(folder: Path) -> str:
    """What QEMU calls its guest (-name), else what the kernel calls the process."""
    words = (_text(folder / "cmdline") or "").split("\0")
    if "-name" in words[:-1]:
        given = words[words.index("-name") + 1].split(",")
        return next((part.removeprefix("guest=") for part in given if part.startswith("guest=")), given[0])
    return _text(folder / "comm") or folder.name
