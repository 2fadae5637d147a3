"""How much memory the emulated host gets on this machine, and what is said where that is less than guests have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vmdedup.available import Available, available_memory
from vmdedup.errors import HostError
from vmdedup.scenario.model import Scenario
from vmdedup.units import MIB, PAGE_SIZE, format_size

_KEPT_FREE = 0.9  # share of what is available that a host may take if the scenario does not say how much
_FINGERPRINT = 30  # bytes of a frame that has a fingerprint, with what is known of it
_ACCOUNT = 64  # bytes a page of guests: page table, slot, ksmd's record of it, as far as all of them are touched


@dataclass(frozen=True)
class HostRoom:
    """Bytes: guests have, the host gets, this machine can give. asked: whether the scenario says what the host gets."""

    guests: int
    host: int
    available: Available
    asked: bool

    @property
    def frames(self) -> int:
        """Frames of the host."""
        return self.host // PAGE_SIZE

    @property
    def is_capped(self) -> bool:
        """Whether the host is smaller than its guests only because this machine has no more."""
        return not self.asked and self.frames < self.guests // PAGE_SIZE

    @property
    def note(self) -> str | None:
        """What is to be said of a host that is smaller than a scenario without [host] memory lets one expect."""
        if not self.is_capped:
            return None
        return (
            f"the guests have {format_size(self.guests)}, the host only {format_size(self.host)}: "
            f"{_rounded(self.available.bytes)} are available {self.available.where}; to have it otherwise, write "
            f'memory = "{_possible(self.available)}" or less in [host], or run fewer or smaller guests'
        )

    @property
    def document(self) -> dict[str, Any]:
        """For run.json. Sizes are bytes."""
        return {
            "guests_bytes": self.guests,
            "host_bytes": self.host,
            "available_bytes": self.available.bytes,
            "capped": self.is_capped,
        }


def host_room(scenario: Scenario, available: Available | None = None) -> HostRoom:
    """What the scenario's host gets: what it says, else what its guests have or this machine can give.

    available: for tests. HostError: the scenario wants more than there is, with what would do.
    """
    room = available if available is not None else available_memory()
    guests, wanted = scenario.pages * PAGE_SIZE, scenario.host.memory
    if scenario.host.pages == "fingerprints":
        _check_account(scenario, room, _ACCOUNT + _FINGERPRINT)
        return HostRoom(guests, wanted or guests, room, wanted is not None)
    disk = scenario.host.swap.size if scenario.host.swap is not None and scenario.host.swap.device.has_disk else 0
    there = f"{_rounded(room.bytes)} are available {room.where}"
    if wanted is not None and wanted > room.bytes:
        raise HostError(
            f"the host of the scenario has {format_size(wanted)} of memory, but only {there}; "
            f"give less in [host] memory, {_possible(room)} at most, or leave it out"
        )
    if disk > room.bytes - (wanted or 0):
        raise HostError(
            f"the disk that the host of the scenario swaps to has {format_size(disk)}, and its memory "
            f"{format_size(wanted or 0)}; this machine keeps both in memory, and only {there}; "
            f"give less in [host] swap, or swap to zram"
        )
    _check_account(scenario, room, _ACCOUNT)
    least = min(guests, int(room.bytes * _KEPT_FREE) // PAGE_SIZE * PAGE_SIZE)
    return HostRoom(guests, max(PAGE_SIZE, least) if wanted is None else wanted, room, wanted is not None)


def _check_account(scenario: Scenario, room: Available, a_page: int) -> None:
    """a_page: bytes that this machine needs for each page of a guest, whatever it holds."""
    account = scenario.pages * a_page
    if account > room.bytes:
        most = room.bytes // a_page * PAGE_SIZE
        raise HostError(
            f"the guests have {format_size(scenario.pages * PAGE_SIZE)}; keeping account of their pages alone takes "
            f"{_rounded(account)}, but only {_rounded(room.bytes)} are available {room.where}; run fewer or smaller "
            f"guests, at most {_rounded(most)} together"
        )


def _possible(room: Available) -> str:
    """What a scenario can ask for, also a little later."""
    return _rounded(int(room.bytes * _KEPT_FREE))


def _rounded(size: int) -> str:
    """A size rounded down, so that it is to be had: in whole MiB."""
    return f"{size // MIB}MiB" if size >= MIB else format_size(size)
