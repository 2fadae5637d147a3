"""The steps of a memory: what it holds from the start, what changes from step to step; from where, others know."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vmdedup.recording.digest import memory_digest, page_digests
from vmdedup.recording.places import Places

if TYPE_CHECKING:
    from vmdedup.guest.content import Pages
    from vmdedup.guest.index import Numbers

Change = tuple["Numbers", "Pages | None"]


class Area(NamedTuple):
    """What host.space.Memory.declare is told of a run of pages."""

    number: int
    first: int
    pages: int
    kind: int
    owner: int
    state: int


class Life(ABC):
    """The steps of a memory. Pages have places 0, 1, 2, …, region after region.

    name: in messages. places: of all pages that it ever has. times: nanoseconds since the first step, ascending.
    """

    name: str
    places: Places
    times: Sequence[int]

    @property
    def pages(self) -> int:
        """Pages that a guest needs for it."""
        return self.places.pages

    @abstractmethod
    def changes(self, step: int) -> Iterator[Change]:
        """Places that change at a step, and what they hold then, (n, 4096) bytes, or None: nothing, as if untouched."""

    @abstractmethod
    def present(self, step: int) -> NDArray[np.bool_]:
        """Which places hold something after a step."""

    @abstractmethod
    def count(self, step: int) -> int:
        """How many do."""

    @abstractmethod
    def digest(self, step: int) -> str:
        """What digest_of must give after a step; see recording.digest."""

    def areas(self, step: int) -> Iterator[Area]:
        """What is to be said of runs of pages from a step on, if it is one system of many programs."""
        return iter(())

    @abstractmethod
    def close(self) -> None:
        """Close the file."""

    def digest_of(self, step: int, read: Callable[[Numbers], Pages]) -> str:
        """The digest of pages as they are read, of those places that should hold something after a step."""
        return memory_digest(self.places, self.present(step), lambda chosen: page_digests(read(chosen)))
