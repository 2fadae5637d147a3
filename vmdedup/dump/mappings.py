"""The mappings of a live process, by /proc/PID/smaps. Source: Linux' Documentation/filesystems/proc.rst."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from vmdedup.errors import DumpError

Only = Literal["mergeable", "all", "largest"]
HEADER = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \d+ *(.*)")
NOT_MEMORY = {"pf", "io"}  # VmFlags of mappings that are devices


@dataclass(frozen=True)
class Mapping:
    """A line of smaps. start, end: addresses. resident: bytes that are there. swapped: bytes in swap."""

    start: int
    end: int
    name: str
    resident: int
    flags: frozenset[str]
    swapped: int = 0

    @property
    def is_reserved(self) -> bool:
        """Whether it only keeps addresses: nobody may use it, or nobody has been promised memory for it."""
        return "nr" in self.flags or not self.flags & {"rd", "wr", "ex"}


def read_mappings(pid: int) -> list[Mapping]:
    """The mappings of a process that are memory. OSError: as the system has it."""
    found: list[Mapping] = []
    with open(f"/proc/{pid}/smaps", errors="replace") as lines:
        start = end = 0
        name, sizes = "", {"Rss": 0, "Swap": 0}
        for line in lines:
            key, _, rest = line.partition(":")
            if key in sizes:
                sizes[key] = int(rest.split()[0]) << 10
            elif key == "VmFlags":
                flags = frozenset(rest.split())
                if not flags & NOT_MEMORY and name not in ("[vsyscall]", "[vvar]", "[vvar_vclock]"):
                    found.append(Mapping(start, end, name, sizes["Rss"], flags, sizes["Swap"]))
            elif header := HEADER.match(line):
                start, end, name = int(header[1], 16), int(header[2], 16), header[4].strip()
    return found


def chosen(name: str, mappings: list[Mapping], only: Only) -> list[Mapping]:
    """The mappings that are asked for. DumpError: there are none."""
    if only == "mergeable":
        mappings = [mapping for mapping in mappings if "mg" in mapping.flags]
    elif only == "largest":
        mappings = sorted(mappings, key=lambda mapping: mapping.resident)[-1:]
    elif only != "all":
        raise DumpError(f"{name}: {only!r} are no mappings; say mergeable, all or largest")
    if not mappings:
        what = (
            "no mapping that KSM may merge; name it as" if only == "mergeable" else "no memory; is it no kernel thread?"
        )
        raise DumpError(f"{name}: has {what}" + (f" {name}:all" if only == "mergeable" else ""))
    return mappings
