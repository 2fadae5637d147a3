"""Packing objects of any size into host frames: where patches and compressed pages are kept.

    put(entry, bytes) ─► a frame with room, or one more of the host's ─► the slot of the entry says where; it counts the
                         frame, as an entry that maps it would

A frame of storage is the host's memory as any other and counts as used. Nothing is held between two calls: a frame is
counted by the slots of what lies in it, so it is free when its last object goes, whoever drops that. Room that dropped
objects leave is found by looking (refresh) and filled again. A storage that takes over a host adopts what lies there.
Source: Gupta et al., Difference Engine, OSDI 2008, section 4.4 (block allocator).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import InvariantError
from vmdedup.host.frames import NO_FRAME, alloc_frame, put_frame
from vmdedup.host.layout import COMPRESSED, PATCHED
from vmdedup.host.memory import Host
from vmdedup.host.rebuild import kind_of_all
from vmdedup.policy.room import Rooms, StoreFrame
from vmdedup.policy.stored import hold_stored


class Storage:
    """Objects of one host, one for each page table entry at most. Only one storage may work on a host at a time."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._h = host.arrays
        self._rooms = Rooms(host.page_size)
        self._where: dict[int, tuple[StoreFrame, int]] = {}
        self._puts = 0
        self._adopt()

    # Putting

    def put(self, entry: int, packed: bytes) -> bool:
        """Keep bytes for a page that is present, its slot's frame, offset and length being filled and counted.

        False: the host has no frame for them, and nothing is changed. cancel() undoes it, unless the page was made
        absent; then the storage finds out by itself when the page is present again.
        """
        self._forget(entry)
        frame = self._frame_with(len(packed))
        if frame is None:
            return False
        offset = frame.place(len(packed), entry)
        self._rooms.note(frame)
        self._where[entry] = (frame, offset)
        self._puts += 1
        self._h.bytes[frame.pfn, offset : offset + len(packed)] = np.frombuffer(packed, np.uint8)
        slot = self._h.slots[entry]
        slot["frame"], slot["offset"], slot["length"] = frame.pfn, offset, len(packed)
        return True

    def cancel(self, entry: int) -> None:
        """Take back what was put for a page that is still present, and drop its count."""
        frame, _ = self._where[entry]
        self._forget(entry)
        put_frame(self._h, frame.pfn)

    def uncounted(self, entry: int) -> None:
        """Take back what was put for a page that is still present, whose slot's counts were dropped already."""
        self._forget(entry)

    def _frame_with(self, length: int) -> StoreFrame | None:
        """A frame with that much room, counted once more for its new object."""
        while True:
            frame = self._rooms.find(length)
            if frame is None and self._puts > len(self._where) // 4 + 64:
                self.refresh()
                frame = self._rooms.find(length)
            if frame is None:
                return self._another()
            if self._hold(frame):
                return frame
            self._drop(frame)

    def _another(self) -> StoreFrame | None:
        pfn = int(alloc_frame(self._h, 0))
        if pfn == NO_FRAME:
            return None
        return StoreFrame(pfn, self._host.page_size)

    def _hold(self, frame: StoreFrame) -> bool:
        """Count a frame that is still storage: one of its objects, at least, has to be there once it is held."""
        return any(hold_stored(self._h, frame.pfn, entry, at) for at, (_, entry) in frame.objects.items())

    # Room that comes back

    def refresh(self) -> None:
        """Find out which objects are gone, and use their room again."""
        self._puts = 0
        gone = self._gone(np.fromiter(self._where, np.int64, len(self._where)))
        for entry in gone.tolist():
            self._forget(entry)

    def _gone(self, entries: NDArray[np.int64]) -> NDArray[np.int64]:
        kinds = kind_of_all(self._h.pte[entries])
        gone: NDArray[np.int64] = entries[(kinds != PATCHED) & (kinds != COMPRESSED)]
        return gone

    def _forget(self, entry: int) -> None:
        known = self._where.pop(entry, None)
        if known is not None:
            frame, offset = known
            frame.remove(offset)
            self._rooms.note(frame)

    def _drop(self, frame: StoreFrame) -> None:
        """Forget a frame whose objects are all gone: it may be anybody's by now."""
        for _, entry in list(frame.objects.values()):
            self._forget(entry)

    def retire_sparse(self, most: int) -> list[int]:
        """Put nothing more into frames that hold at most so many bytes, if there are two or more of them.

        Returns the entries whose objects lie there; once those are put elsewhere, or gone, the frames are free.
        """
        self.refresh()
        frames = {id(frame): frame for frame, _ in self._where.values() if frame.used <= most}
        if len(frames) < 2:
            return []
        for frame in frames.values():
            frame.retired = True
            self._rooms.note(frame)
        return [entry for frame in frames.values() for _, entry in frame.objects.values()]

    # Taking over

    def _adopt(self) -> None:
        """Take over what an earlier storage has left on the host."""
        entries = stored_entries(self._host)
        frames: dict[int, StoreFrame] = {}
        for entry, slot in zip(entries.tolist(), self._h.slots[entries], strict=True):
            pfn, offset, length = int(slot["frame"]), int(slot["offset"]), int(slot["length"])
            frame = frames.setdefault(pfn, StoreFrame(pfn, self._host.page_size))
            frame.adopt(offset, length, entry)
            self._where[entry] = (frame, offset)
        for frame in frames.values():
            frame.find_holes()
            self._rooms.note(frame)

    # Figures

    def check(self) -> None:
        """Verify, while nobody runs, that what lies on the host is what is known here; raises InvariantError."""
        self.refresh()
        entries = stored_entries(self._host)
        slots = self._h.slots[entries]
        for entry, pfn, offset in zip(entries.tolist(), slots["frame"].tolist(), slots["offset"].tolist(), strict=True):
            frame, known = self._where.get(entry, (None, -1))
            if frame is None or (frame.pfn, known) != (pfn, offset):
                raise InvariantError(f"storage is inconsistent: entry {entry} is not where its slot says")
        frames = {id(frame): frame for frame, _ in self._where.values()}
        for frame in frames.values():
            frame.check()
        if len({frame.pfn for frame in frames.values()}) != len(frames) or len(self._where) != len(entries):
            raise InvariantError("storage is inconsistent: a frame or an object is known twice")


def stored_entries(host: Host) -> NDArray[np.int64]:
    """Page table entries of all pages that are kept patched or compressed, int64[n], in order."""
    kinds = kind_of_all(host.arrays.pte)
    return np.flatnonzero((kinds == PATCHED) | (kinds == COMPRESSED))


def storage_figures(host: Host) -> dict[str, int]:
    """What is stored, counted from the page tables: frames, objects, and bytes of each kind."""
    entries = stored_entries(host)
    slots, kinds = host.arrays.slots[entries], kind_of_all(host.arrays.pte[entries])
    lengths = slots["length"].astype(np.int64)
    return {
        "storage_frames": len(np.unique(slots["frame"])),
        "patched_pages": int((kinds == PATCHED).sum()),
        "compressed_pages": int((kinds == COMPRESSED).sum()),
        "patch_bytes": int(lengths[kinds == PATCHED].sum()),
        "compressed_bytes": int(lengths[kinds == COMPRESSED].sum()),
        "patch_references": len(np.unique(slots["reference"][kinds == PATCHED])),
    }
