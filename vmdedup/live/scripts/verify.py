"""The kernel's ksmd and the emulator on the very same pages of paused guests: every counter after every full scan.

What ksmd will see is read first, in the order in which it will see it, and given to an emulated host. Then both scan,
full scan by full scan.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from vmdedup.ksm.profile import profile
from vmdedup.ksm.sysfs import COUNTERS, LASTING, PROCESS_COUNTERS, START, TUNABLES
from vmdedup.live.ksm.alone import process_counters
from vmdedup.live.ksm.session import KsmSession
from vmdedup.live.memory.guest import THP, VisiblePages, visible_pages
from vmdedup.live.scripts.twin import Twin

# Chains are pruned by age, and the emulator's clock stands still here: no pruning on either side.
NO_PRUNING = {"stable_node_chains_prune_millisecs": "3600000"}
# All other tunables that a decision of ksmd's may depend on.
COMPARED = tuple(name for name, tunable in TUNABLES.items() if tunable.state and name not in NO_PRUNING)
MOST_SETTLING, MOST_ROUNDS = 20, 6  # full scans, and how often all is unmerged again

Note = Callable[[str], None]


@dataclass(frozen=True)
class Scan:
    """What both sides said after a full scan: counters by name, those of guest NAME as NAME.counter."""

    number: int
    kernel: Mapping[str, int]
    emulator: Mapping[str, int]

    @property
    def differences(self) -> list[str]:
        """Names of the counters that differ."""
        return [name for name, value in self.kernel.items() if value != self.emulator[name]]


@dataclass(frozen=True)
class Verification:
    """All full scans of one comparison. pages, huge: pages that ksmd saw at first, and those of them in huge pages."""

    knobs: Mapping[str, str]
    pages: Mapping[str, int]
    huge: Mapping[str, int]
    scans: Sequence[Scan]

    @property
    def is_equal(self) -> bool:
        """Whether every counter was equal after every full scan."""
        return all(not scan.differences for scan in self.scans)


def verify(
    session: KsmSession,
    guests: Mapping[str, int],
    scans: int = 4,
    knobs: Mapping[str, str] | None = None,
    note: Note = lambda text: None,
    split_first: bool = False,
) -> Verification:
    """Compare on paused guests, name to pid in the order of ksmd's list, which is that of their starts.

    knobs: tunables that differ from the scripts' start state. Everything that was merged before is unmerged first,
    and merged again afterwards as the scans left it. split_first: let ksmd split all huge pages that it wants to
    split, before that. Raises GuestError, EnvironmentLacksError, HostError.
    """
    wanted = NO_PRUNING | dict(knobs or {})
    _begin(session, guests, wanted)
    if split_first:
        _split(session, guests, wanted, note)
    seen = {name: visible_pages(pid) for name, pid in guests.items()}
    note(f"reading {sum(map(len, seen.values()))} pages of {len(seen)} guests")
    with Twin(list(seen.values()), START | wanted, profile(os.uname().release)) as twin:
        found = list(_scan_both(session, guests, twin, scans, note))
    return Verification(wanted, _lengths(seen), {name: view.count(THP) for name, view in seen.items()}, found)


def _begin(session: KsmSession, guests: Mapping[str, int], knobs: Mapping[str, str]) -> None:
    session.start_state(list(guests.values()))
    for knob, value in knobs.items():
        session.files.write(knob, value)


def _split(session: KsmSession, guests: Mapping[str, int], knobs: Mapping[str, str], note: Note) -> None:
    """Merge and unmerge until that splits no more huge pages.

    Once may not be enough: which of too many equal pages finds no partner depends on what was split before. Nobody may
    make new huge pages meanwhile; see live.memory.huge.
    """
    before = -1
    for _ in range(MOST_ROUNDS):
        huge = sum(visible_pages(pid).count(THP) for pid in guests.values())
        if huge in (0, before):
            return
        before = huge
        _settle(session, note)
        _begin(session, guests, knobs)


def _settle(session: KsmSession, note: Note) -> None:
    """Full scans until one changes no counter of pages; the first only takes checksums."""
    before: list[int] = []
    for number in range(1, MOST_SETTLING + 1):
        note(f"splitting huge pages: full scan {number}")
        session.ksmd.full_scan()
        now = [session.files.read(name) for name in COUNTERS if name.startswith("pages_") and name not in LASTING]
        if number > 2 and now == before:
            return
        before = now


def _lengths(seen: Mapping[str, VisiblePages]) -> dict[str, int]:
    return {name: len(view) for name, view in seen.items()}


def _scan_both(session: KsmSession, guests: Mapping[str, int], twin: Twin, scans: int, note: Note) -> Iterator[Scan]:
    base = {name: session.files.read(name) for name in LASTING}
    for number in range(1, scans + 1):
        note(f"full scan {number} of {scans}")
        session.ksmd.full_scan()
        kernel = {name: session.files.read(name) - base.get(name, 0) for name in COUNTERS}
        twin.full_scan()
        emulator = {name: twin.counters()[name] for name in COUNTERS}
        for (name, pid), figures, memory in zip(
            guests.items(), twin.guest_counters(), twin.memory_figures(), strict=True
        ):
            measured = process_counters(pid)
            kernel |= _named(name, {counter: measured[counter] for counter in PROCESS_COUNTERS} | _memory_of(pid))
            emulator |= _named(name, {counter: figures[counter] for counter in PROCESS_COUNTERS} | memory)
        yield Scan(number, kernel, emulator)


def _memory_of(pid: int) -> dict[str, int]:
    """Pages that a process has of its own or shares, and those of them in huge pages: what no counter of KSM tells."""
    seen = visible_pages(pid)
    return {"visible_pages": len(seen), "in_huge_pages": seen.count(THP)}


def _named(guest: str, figures: Mapping[str, int]) -> dict[str, int]:
    return {f"{guest}.{name}": value for name, value in figures.items()}
