"""Rebuilding pages that a scanner keeps in another form: on access, by the process whose page it is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmdedup.host.absent import kind_of, make_present, named_by, pin_absent
from vmdedup.host.fault import unpin
from vmdedup.host.frames import NO_FRAME
from vmdedup.host.layout import (
    COMPRESSED,
    FILLED,
    FRAME_MASK,
    FRAME_SHIFT,
    GUARDED,
    KIND_MASK,
    KIND_SHIFT,
    PATCHED,
    PRESENT,
    SWAPPED,
    HostArrays,
)
from vmdedup.host.pool import draw_frame
from vmdedup.host.swap_back import bring_in, content_of


def kind_of_all(entries: NDArray[np.int64]) -> NDArray[np.int64]:
    """The kinds of page table entries: 0 for those that are present or were never touched."""
    return np.where(entries & PRESENT, 0, (entries & KIND_MASK) >> KIND_SHIFT)


def frames_behind(entries: NDArray[np.int64]) -> NDArray[np.int64]:
    """host.absent.frame_behind of each."""
    whole = (entries & PRESENT != 0) | (kind_of_all(entries) == GUARDED)
    return np.where(whole, (entries >> FRAME_SHIFT) & FRAME_MASK, 0)


def rebuild_page(h: HostArrays, mm: int, page: int) -> bool:
    """Make an absent page of one's own present again. False: no frame is left."""
    entry = int(h.mms[mm]["first"]) + page
    if kind_of(int(h.pte[entry])) == SWAPPED:
        return bring_in(h, mm, page)
    kind = int(pin_absent(h, entry))
    if kind == 0:
        return True
    fresh = int(draw_frame(h, int(h.mms[mm]["node"])))
    if fresh == NO_FRAME:
        unpin(h, entry)
        return False
    write_content(h, entry, kind, h.words[fresh])
    make_present(h, mm, entry, fresh)
    return True


def write_content(h: HostArrays, entry: int, kind: int, page: NDArray[np.int64]) -> None:
    """Write the content of an absent page to `page`, int64[words of a page]."""
    slot = h.slots[entry]
    if kind == FILLED:
        page[:] = slot["fill"]
    elif kind == SWAPPED:
        page[:] = content_of(h, named_by(int(h.pte[entry])))
    elif kind == GUARDED:
        page[:] = h.words[(int(h.pte[entry]) >> FRAME_SHIFT) & FRAME_MASK]
    else:
        page.view(np.uint8)[:] = np.frombuffer(_unpacked(h, slot, kind), np.uint8)


def _unpacked(h: HostArrays, slot: Any, kind: int) -> bytes:
    # Only hosts whose scanner packs pages need the codecs.
    from vmdedup.subpage.compression import CODECS, decompress
    from vmdedup.subpage.delta import DELTAS, unpatch

    start = int(slot["offset"])
    packed = h.bytes[int(slot["frame"]), start : start + int(slot["length"])].tobytes()
    if kind == PATCHED:
        return unpatch(h.bytes[int(slot["reference"])].tobytes(), packed, DELTAS[int(slot["codec"])])
    assert kind == COMPRESSED
    return decompress(packed, CODECS[int(slot["codec"])])
