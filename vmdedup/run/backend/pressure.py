"""An emulated host's memory under pressure: who waits, who is killed where nothing is left, and what rows tell.

a guest finds no frame ──► find_memory: is there one now? ──► no: largest is killed, its frames are free
"""

from __future__ import annotations

from collections.abc import Sequence

from vmdedup.guest.vm import GuestProcess
from vmdedup.host.frames import room
from vmdedup.host.memory import Host
from vmdedup.host.oom import Badness, badness
from vmdedup.run.backend.base import Note
from vmdedup.units import PAGE_SIZE, format_size


class Pressure:
    """A host's memory, as guests wait for it."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def find_memory(self) -> bool:
        """Whether there is a frame to be had."""
        return int(room(self._host.arrays)) > 0

    def largest(self, guests: Sequence[GuestProcess], note: Note, hint: str | None) -> GuestProcess:
        """Who is killed: the largest, of equals the youngest. It is noted, with its size, and a hint, if any."""
        sizes = [badness(self._host.memory(guest.mm).entries) for guest in guests]
        place = max(range(len(sizes)), key=lambda number: (sizes[number].points, number))
        victim, size = guests[place], sizes[place]
        note(f"out of memory: {victim.spec.name} is killed: {_said(size)}" + (f"; {hint}" if hint else ""))
        return victim


def _said(size: Badness) -> str:
    parts = {"resident": size.resident, "in swap": size.swapped, "of page tables": size.tables}
    return ", ".join(f"{format_size(pages * PAGE_SIZE)} {what}" for what, pages in parts.items() if pages)
