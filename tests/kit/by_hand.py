"""Who maps what, counted entry by entry and frame by frame: what the program's own figures are held against."""

from __future__ import annotations

from collections import Counter

import pytest

from kit.small_runs import Watching, host_of
from vmdedup.host.layout import FRAME_MASK, FRAME_SHIFT, PRESENT, ZERO
from vmdedup.host.memory import Host
from vmdedup.run import run as run_module
from vmdedup.run.emulation import Emulation
from vmdedup.run.measure.rows import Row


def mappings_by_hand(host: Host) -> dict[int, Counter[int]]:
    """frame -> how often each guest maps it; the zero page left out."""
    frames: dict[int, Counter[int]] = {}
    for memory in host.live():
        for entry in memory.entries.tolist():
            pfn = (entry >> FRAME_SHIFT) & FRAME_MASK
            if entry & PRESENT and pfn:
                frames.setdefault(pfn, Counter())[memory.mm] += 1
    return frames


def zeros_placed_by_hand(host: Host) -> int:
    """Entries that map the zero page because a scanner put it there; one that was only read has no content."""
    entries = (entry for memory in host.live() for entry in memory.entries.tolist())
    return sum(bool(entry & PRESENT and entry & ZERO) for entry in entries)


def saved_by_hand(host: Host) -> tuple[int, int, int]:
    """Pages saved that are zero-filled (those that a scanner placed left out), within one guest, between guests."""
    zero = within = between = 0
    for pfn, owners in mappings_by_hand(host).items():
        if not host.arrays.words[pfn].any():
            zero += sum(owners.values()) - 1
        else:
            within += sum(owners.values()) - len(owners)
            between += len(owners) - 1
    return zero, within, between


def row_by_hand(host: Host, zeros_are_free: bool = False) -> Row:
    """The columns of a series that follow from who maps which frame, and from what frames hold; none packed.

    zeros_are_free: KSM places its zero page, so that all zeros are saved, the frame that some are still kept in too.
    """
    frames, placed = mappings_by_hand(host), zeros_placed_by_hand(host)
    allocated = placed + sum(owners.total() for owners in frames.values())
    contents = {host.arrays.words[pfn].tobytes() for pfn in frames}
    kept = len(contents - {bytes(host.page_size)}) if zeros_are_free else len(contents)
    zero, within, between = saved_by_hand(host)
    return {
        "allocated_pages": allocated,
        "used_pages": len(frames),
        "saved_pages": allocated - len(frames),
        "zero_pages": zero + placed,
        "within_guest_pages": within,
        "between_guests_pages": between,
        "possible_pages": allocated - kept,
    }


class Counting(Watching):
    """A watcher that counts by hand, too, with each row: `counted` has what it found. For lockstep runs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, zeros_are_free: bool = False) -> None:
        super().__init__()
        self._zeros_are_free = zeros_are_free
        self.counted: list[Row] = []
        self._built: Emulation | None = None

        def build(*arguments: object) -> Emulation:
            self._built = Emulation(*arguments)  # type: ignore[arg-type]
            return self._built

        monkeypatch.setattr(run_module, "Emulation", build)

    def sample(self, row: Row) -> None:
        super().sample(row)
        self.counted.append(row_by_hand(host_of(self.emulation), self._zeros_are_free))

    @property
    def emulation(self) -> Emulation:
        """That which runs."""
        assert self._built is not None
        return self._built
