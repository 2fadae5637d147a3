"""What a shell prints of a kernel's tunables: grep -H '' /sys/kernel/mm/ksm/*, or lines of NAME VALUE, NAME = VALUE.

Of a listing the tunables are taken, checked as a write to their files would be; counters are left out.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field

from vmdedup.errors import KnobError, UsageError
from vmdedup.ksm.sysfs import COUNTERS, TUNABLES, as_written
from vmdedup.shown import quoted, suggest
from vmdedup.toml import read_text

MOST_BYTES = 1 << 16
HOW = "make it by: grep -H '' /sys/kernel/mm/ksm/*"
_LINE = re.compile(r"(?:\S*/)?(?P<name>[a-z_][a-z0-9_]*)(?:\s*[:=]\s*|\s+)(?P<value>\S(?:.*\S)?)")


@dataclass(frozen=True)
class Listing:
    """tunables: as text for the kernel's files. counters: names of those that are left out."""

    name: str
    tunables: dict[str, str] = field(default_factory=dict)
    counters: list[str] = field(default_factory=list)

    def take(self, name: str, text: str) -> str:
        """One line's name and value; what is wrong with it, or nothing."""
        if name in COUNTERS:
            self.counters.append(name)
            return ""
        if name not in TUNABLES:
            hint = suggest(name, TUNABLES, "leave the line out")
            return f"{quoted(name)} is neither a tunable nor a counter of KSM; {hint}"
        value = as_written(text)
        try:
            TUNABLES[name].parse(value)
        except KnobError as error:
            return f"{error}; correct the line, or leave it out"
        if self.tunables.setdefault(name, value) != value:
            return f"{name} is {self.tunables[name]} further up; leave one of them out"
        return ""


def read_listing(path: str | os.PathLike[str], error: type[UsageError] = UsageError) -> Listing:
    """The tunables that a file lists. Raises `error`, FILE:LINE and what to do: it is no such file."""
    listing = Listing(str(path))
    for number, line in enumerate(read_text(path, error, MOST_BYTES).split("\n"), start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        match = _LINE.fullmatch(text)
        complaint = listing.take(match["name"], match["value"]) if match else f"{quoted(text)} is no tunable; {HOW}"
        if complaint:
            raise error(f"{path}:{number}: {complaint}")
    if not listing.tunables:
        raise error(f"{path}: lists no tunable of KSM; {HOW}")
    return listing
