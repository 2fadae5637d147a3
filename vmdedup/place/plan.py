"""A plan: which guest on which host, and the hosts while they are being filled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import UsageError
from vmdedup.place.fleet import Counts, Fleet
from vmdedup.units import PAGE_SIZE, format_size

NOWHERE: Final = -1  # the host of a guest for which there is no room


@dataclass(frozen=True)
class Room:
    """The hosts that there are. pages: of one, for guests; hosts: how many, None: as many as it takes."""

    pages: int
    hosts: int | None = None


@dataclass(frozen=True)
class Plan:
    """where: host of each guest, numbered from 0, or NOWHERE. algorithm: by which. note: what is to be said of it."""

    algorithm: str
    where: tuple[int, ...]
    note: str = ""

    @property
    def hosts(self) -> list[list[int]]:
        """The guests of each host that has any."""
        used = sorted(set(self.where) - {NOWHERE})
        return [[guest for guest, host in enumerate(self.where) if host == each] for each in used]

    @property
    def placed(self) -> int:
        """How many guests have a host."""
        return sum(host != NOWHERE for host in self.where)


def require_room(fleet: Fleet, room: Room) -> None:
    """UsageError: a guest is larger than any host."""
    largest = int(fleet.pages.argmax())
    if fleet.pages[largest] > room.pages:
        size, host = (format_size(int(pages) * PAGE_SIZE) for pages in (fleet.pages[largest], room.pages))
        raise UsageError(f"{fleet.names[largest]} has {size}, more than any host ({host}); give a larger --host-memory")


class Hosts:
    """Hosts while they are filled. used: pages of each, int64[hosts]; holds: float32[hosts, parts], 1 where held."""

    def __init__(self, fleet: Fleet, room: Room) -> None:
        self.fleet, self.room = fleet, room
        self.guests: list[list[int]] = []
        self.used: Counts = np.zeros(0, np.int64)
        self._holds: NDArray[np.float32] = np.zeros((0, len(fleet.parts)), np.float32)

    def adds(self, guest: int) -> Counts:
        """Pages that it would add to each host."""
        shared = self._holds[: len(self.used)] @ self.fleet.weighted[guest]
        added: Counts = self.fleet.alone[guest] - np.rint(shared).astype(np.int64)
        return added

    def fits(self, adds: Counts) -> NDArray[np.bool_]:
        """On which hosts what would be added has room."""
        return self.used + adds <= self.room.pages

    def open(self) -> int | None:
        """One host more. Returns its number; None: there is none."""
        if self.room.hosts is not None and len(self.used) >= self.room.hosts:
            return None
        if len(self.used) == len(self._holds):
            more = np.zeros((max(8, len(self._holds)), len(self.fleet.parts)), np.float32)
            self._holds = np.concatenate([self._holds, more])
        self.used = np.append(self.used, 0)
        self.guests.append([])
        return len(self.used) - 1

    def put(self, guest: int, host: int) -> None:
        """Place a guest."""
        self.guests[host].append(guest)
        self._holds[host][self.fleet.has[guest]] = 1
        self.used[host] = self.fleet.used(self.guests[host])

    def take(self, host: int) -> list[int]:
        """Take all guests off a host. Returns them."""
        taken, self.guests[host] = self.guests[host], []
        self._holds[host] = 0
        self.used[host] = 0
        return taken

    def plan(self, algorithm: str, note: str = "") -> Plan:
        """As it stands."""
        return plan_of(algorithm, len(self.fleet), self.guests, note)


def plan_of(algorithm: str, guests: int, hosts: Sequence[Sequence[int]], note: str = "") -> Plan:
    """The plan of lists of guests; hosts without any are left out."""
    where = [NOWHERE] * guests
    for number, host in enumerate([host for host in hosts if host]):
        for guest in host:
            where[guest] = number
    return Plan(algorithm, tuple(where), note)
