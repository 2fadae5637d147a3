"""Apps of a phone: what each has of its own, in a place of the phone's memory that it leaves when it ends."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from vmdedup.guest.anonymous import Anonymous
from vmdedup.guest.guestkernel import GuestKernel
from vmdedup.guest.index import Numbers
from vmdedup.guest.phone.content import AppContent
from vmdedup.guest.seeds import Words, keys, split_seed
from vmdedup.host.layout import ANONYMOUS, FOREGROUND, GRAPHICS, STACK, UNKNOWN

KINDS = (ANONYMOUS, STACK, GRAPHICS)  # areas of an app, in this order
STACK_SHARE = 24  # a stack is one of so many pages of an app


@dataclass(frozen=True)
class Place:
    """Where an app may lie. number: of the place, from 0. first: guest page. pages: how many."""

    number: int
    first: int
    pages: int


@dataclass
class App:
    """A process. owner: its number among all that ever ran, from 1. pages: of its heap, stack and graphics.

    text: file pages that it maps. used_ms: when it was last in the foreground.
    """

    kernel: GuestKernel
    content: AppContent
    owner: int
    seed: int
    place: Place
    identical: float
    sizes: tuple[int, int, int]
    text: Numbers
    state: int = FOREGROUND
    used_ms: float = 0.0
    parts: list[Anonymous] = field(default_factory=list)
    _drawn: int = 0

    def start(self) -> None:
        """Take the place, nothing filled yet."""
        self.kernel.map_file(self.text)
        self.parts = [self.kernel.anonymous(self.content.make) for _ in KINDS]
        self.declare(self.state)

    def declare(self, state: int) -> None:
        """Tell whoever scans what the places' pages are, and who uses them."""
        self.state = state
        first = self.place.first
        for row, (kind, size) in enumerate(zip(KINDS, self.sizes, strict=True)):
            self.kernel.memory.declare(self.area + row, first, size, kind, self.owner, state)
            first += size

    @property
    def area(self) -> int:
        """The number of its first area; the first three are the system's."""
        return len(KINDS) * (1 + self.place.number)

    @property
    def heap(self) -> Anonymous:
        """Its heap."""
        return self.parts[0]

    @property
    def graphics(self) -> Anonymous:
        """Its graphics buffers."""
        return self.parts[2]

    def missing(self) -> int:
        """Pages that it has not filled yet."""
        return sum(self.sizes) - sum(map(len, self.parts))

    def fill(self, count: int) -> None:
        """Fill so many more pages: heap first, then stack, then graphics."""
        first = self.place.first
        for part, size, kind in zip(self.parts, self.sizes, KINDS, strict=True):
            some = min(count, size - len(part))
            frames = first + len(part) + np.arange(some)
            part.grow(frames, self.keys(some, kind))
            count -= some
            first += size

    def keys(self, count: int, kind: int) -> Words:
        """Keys of contents for so many pages."""
        own = keys(split_seed(self.seed, "own"), np.arange(self._drawn, self._drawn + count))
        self._drawn += count
        return self.content.graphics_keys(own) if kind == GRAPHICS else self.content.heap_keys(own, self.identical)

    def end(self) -> None:
        """Be killed: the file pages stay cached, all others are given back at once."""
        self.kernel.cache.unmap(self.text)
        for part in self.parts:
            self.kernel.memory.discard(part.shrink(len(part)))
            self.kernel.forget(part)
        self.owner = 0
        self.declare(UNKNOWN)

    def verify(self) -> int:
        """Read back every page not stored into. Returns how many. Raises GuestError."""
        return sum(part.verify() for part in self.parts)
