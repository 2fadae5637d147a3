"""What is asked of a host whose guests are measured: emulated, mapped under the kernel's ksmd, or QEMU's.

    Recorder ──figures, mappings, residents──► Host ◄── Emulation   guests' processes on a backend
                                                    ◄── QemuHost    real guests, seen from outside

So there is one recorder, whoever runs the guests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from vmdedup.run.measure.accounting import Mappings


@dataclass(frozen=True)
class Figures:
    """Pages at one moment, as result.columns describes them. breaks: None where nobody can count them.

    further: columns that not all runs have: of other forms of pages, of what huge pages hide.
    """

    allocated: int
    used: int
    zero: int
    within: int
    between: int
    possible: int
    breaks: int | None
    further: Mapping[str, int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Resident:
    """A guest for the table at the end. number: its address space, from 1, in Mappings; 0: it has none there.

    stat: its ksm_stat; None: nobody can be asked any more. is_present: whether it has its memory still.
    further: columns that not all runs have.
    """

    name: str
    group: str
    number: int
    state: str
    memory_pages: int
    is_present: bool
    stat: Mapping[str, int] | None
    further: Mapping[str, int] = field(default_factory=dict)


class Counted(Protocol):
    """Whoever scans, as far as rows tell of it."""

    def get(self, knob: str) -> int:
        """A tunable's value now."""

    def counters(self) -> dict[str, int]:
        """KSM's counters by name, since the run began."""

    def cpu_seconds(self) -> float:
        """CPU time that it has really had since the run began."""


class Host(Protocol):
    """Guests and who scans them. Counts are exact while nobody runs."""

    @property
    def ksmd(self) -> Counted:
        """Who scans."""

    def about(self) -> Mapping[str, Any]:
        """What run.json says of it: backend, its name, and whatever else."""

    @property
    def present(self) -> int:
        """How many guests there are now."""

    def figures(self) -> Figures:
        """What is counted for a row of the series."""

    def most_used(self) -> tuple[int, int] | None:
        """How many frames have been in use at most, and how many there are; None: nobody counts them."""

    def mappings(self) -> Mappings:
        """Who maps what now."""

    def residents(self) -> Sequence[Resident]:
        """All guests of the run, in the order of the scenario, started or not."""
