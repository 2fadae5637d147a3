"""What address spaces say of their pages: areas, in order. One that says nothing is one area, nobody's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from vmdedup.host.layout import ANONYMOUS, MM_LIVE, UNKNOWN
from vmdedup.host.memory import Host

NOBODY: Final = -1  # owner of an area of which nothing is said


@dataclass(frozen=True)
class Area:
    """A run of pages. number: of the area within mm. first: page table entry. The rest: host.layout.area_dtype."""

    mm: int
    number: int
    first: int
    pages: int
    kind: int
    state: int
    owner: int
    turns: int

    @property
    def key(self) -> tuple[int, int]:
        """What tells it from all other areas."""
        return self.mm, self.number


def areas_of(host: Host, mms: Iterable[int]) -> Iterator[Area]:
    """Areas of all these address spaces that live, in order of mms and number."""
    for mm in mms:
        record, said = host.arrays.mms[mm], host.arrays.areas[mm]
        if record["state"] != MM_LIVE:
            continue
        start, size = int(record["first"]), int(record["pages"])
        numbers = np.flatnonzero(said["pages"]).tolist()
        if not numbers:
            yield Area(mm, 0, start, size, ANONYMOUS, UNKNOWN, NOBODY, 0)
        for number in numbers:
            first, pages, kind, state, owner, turns = said[number].tolist()
            # Said by the guest: not to be trusted further than its own pages.
            if first >= 0 and first + pages <= size:
                yield Area(mm, number, start + first, pages, kind, state, owner, turns)
