"""Room in frames of storage: which bytes are taken, and which frame has a hole that is large enough."""

from __future__ import annotations

from itertools import islice

from vmdedup.errors import InvariantError

CLASSES = 32  # of frames by their largest hole
TRIED = 16  # frames of the class in which not every frame has the room


class StoreFrame:
    """One frame of storage. objects: by first byte, length and page table entry. largest: bytes of its largest hole."""

    def __init__(self, pfn: int, size: int) -> None:
        self.pfn = pfn
        self.size = size
        self.objects: dict[int, tuple[int, int]] = {}
        self.rank = -1  # where Rooms has it; -1: nowhere
        self.retired = False  # nothing more is to be put here
        self._holes = [(0, size)]  # first byte and length, in order
        self.largest = size

    @property
    def used(self) -> int:
        """Bytes that are taken."""
        return sum(length for length, _ in self.objects.values())

    def place(self, length: int, entry: int) -> int:
        """Take bytes in the first hole that is large enough; there must be one. Returns their first."""
        index = next(i for i, (_, free) in enumerate(self._holes) if free >= length)
        offset, free = self._holes[index]
        self._holes[index : index + 1] = [(offset + length, free - length)] if free > length else []
        self.objects[offset] = (length, entry)
        self._measure()
        return offset

    def adopt(self, offset: int, length: int, entry: int) -> None:
        """Take bytes that are taken already. The holes are found when all are known: find_holes."""
        self.objects[offset] = (length, entry)

    def remove(self, offset: int) -> None:
        """Free an object's bytes."""
        del self.objects[offset]
        self.find_holes()

    def find_holes(self) -> None:
        """Work out afresh which bytes nothing lies in."""
        self._holes, end = [], 0
        for offset in sorted(self.objects):
            if offset > end:
                self._holes.append((end, offset - end))
            end = offset + self.objects[offset][0]
        if end < self.size:
            self._holes.append((end, self.size - end))
        self._measure()

    def _measure(self) -> None:
        self.largest = max([length for _, length in self._holes], default=0)

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
        rank = frame.largest // self._step if frame.objects and not frame.retired else -1
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
            if frame.largest >= length:
                return frame
        for rank in self._ranks[lowest + 1 :]:
            for frame in rank.values():
                return frame
        return None
