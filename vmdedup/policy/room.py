"""Room in frames of storage: which bytes are taken, and which frame has a hole that is large enough."""

from __future__ import annotations

from itertools import islice

from vmdedup.errors import InvariantError

CLASSES = 32  # of frames by their largest hole
TRIED = 16  # frames of the class in which not every frame has the room


class StoreFrame:
    """One frame of storage. objects: of each first byte, length and page table entry."""

    def __init__(self, pfn: int, size: int) -> None:
        self.pfn = pfn
        self.size = size
        self.objects: dict[int, tuple[int, int]] = {}
        self.rank = -1  # where Rooms has it; -1: nowhere
        self.retired = False  # nothing more is to be put here

    @property
    def used(self) -> int:
        """Bytes that are taken."""
        return sum(length for length, _ in self.objects.values())

    def holes(self) -> list[tuple[int, int]]:
        """First byte and length of each run of free bytes, in order."""
        found, end = [], 0
        for offset in sorted(self.objects):
            if offset > end:
                found.append((end, offset - end))
            end = offset + self.objects[offset][0]
        if end < self.size:
            found.append((end, self.size - end))
        return found

    def largest_hole(self) -> int:
        """Bytes of the largest object that would fit."""
        return max((length for _, length in self.holes()), default=0)

    def place(self, length: int, entry: int) -> int:
        """Take bytes in the first hole that is large enough; there must be one. Returns their first."""
        offset = next(start for start, free in self.holes() if free >= length)
        self.objects[offset] = (length, entry)
        return offset

    def remove(self, offset: int) -> None:
        """Free an object's bytes."""
        del self.objects[offset]

    def check(self) -> None:
        """Raise InvariantError if objects overlap or stick out."""
        end = 0
        for offset in sorted(self.objects):
            if offset < end:
                raise InvariantError(f"storage is inconsistent: two objects overlap in frame {self.pfn}")
            end = offset + self.objects[offset][0]
        if end > self.size:
            raise InvariantError(f"storage is inconsistent: an object sticks out of frame {self.pfn}")


class Rooms:
    """Frames by the size of their largest hole, each class in the order in which frames came into it."""

    def __init__(self, size: int) -> None:
        self._step = max(1, size // CLASSES)
        self._ranks: list[dict[int, StoreFrame]] = [{} for _ in range(CLASSES + 1)]

    def note(self, frame: StoreFrame) -> None:
        """A frame's objects have changed. One without objects is nobody's here any more."""
        rank = frame.largest_hole() // self._step if frame.objects and not frame.retired else -1
        if rank != frame.rank:
            if frame.rank >= 0:
                del self._ranks[frame.rank][id(frame)]
            if rank >= 0:
                self._ranks[rank][id(frame)] = frame
            frame.rank = rank

    def find(self, length: int) -> StoreFrame | None:
        """A frame with room for so many bytes, one of the fullest; some of those that barely have it are not seen."""
        lowest = length // self._step
        for frame in islice(self._ranks[lowest].values(), TRIED):
            if frame.largest_hole() >= length:
                return frame
        for rank in self._ranks[lowest + 1 :]:
            for frame in rank.values():
                return frame
        return None
