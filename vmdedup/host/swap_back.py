"""Swapped pages back: what is done in Python of it, for compressed pages' sake."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vmdedup.host.absent import named_by
from vmdedup.host.layout import PACKED, HostArrays
from vmdedup.host.swap_in import LACKS_CONTENT, LACKS_FRAME, swap_in, write_plain
from vmdedup.host.swap_pool import unpack_from


def bring_in(h: HostArrays, mm: int, page: int) -> bool:
    """Make a swapped page of one's own present. False: no frame is left."""
    content = np.empty((1, h.words.shape[1]), np.int64)
    result = int(swap_in(h, mm, page, content, False))
    if result == LACKS_CONTENT:
        first = int(h.mms[mm]["first"])
        content[0] = content_of(h, record_at(h, first + page))
        result = int(swap_in(h, mm, page, content, True))
    return result != LACKS_FRAME


def record_at(h: HostArrays, entry: int) -> int:
    """The swap record that an entry names."""
    return int(named_by(int(h.pte[entry])))


def content_of(h: HostArrays, record: int) -> NDArray[np.int64]:
    """What a record has, int64[words of a page]. For who has the record held, by an entry or else."""
    cached = int(h.swaps[record]["frame"])
    if cached:
        return h.words[cached].copy()
    page = np.empty((1, h.words.shape[1]), np.int64)
    if int(h.swaps[record]["place"]) != PACKED:
        write_plain(h, record, page, 0)
        return page[0]
    return _unpacked(h, record).view(np.int64)


def _unpacked(h: HostArrays, record: int) -> NDArray[np.uint8]:
    # Only hosts whose swap packs pages need the codec.
    from vmdedup.subpage.compression import decompress

    size = h.bytes.shape[1]
    packed = np.empty(size, np.uint8)
    length = int(unpack_from(h, record, packed))
    if length == size:
        return packed
    return np.frombuffer(bytearray(decompress(packed[:length].tobytes(), "lz4", size)), np.uint8)
