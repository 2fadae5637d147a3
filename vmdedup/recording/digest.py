"""Digests: of a page, and of all that a guest's memory holds at one moment."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from vmdedup.recording.layout import DIGEST_BYTES
from vmdedup.recording.places import Numbers, Places
from vmdedup.units import PAGE_SIZE

Pages = NDArray[np.uint8]
Digests = NDArray[np.uint64]  # (n, 2): the digest's 16 bytes as they are
CHUNK = 1 << 12  # pages digested at a time


def page_digests(pages: Pages) -> Digests:
    """BLAKE2b of each page, 128 bits. pages: uint8 (n, 4096), of which one row may be seen many times."""
    if len(pages) and pages.strides[0] == 0:
        return np.repeat(page_digests(pages[:1].copy()), len(pages), axis=0)
    flat = np.ascontiguousarray(pages).reshape(-1).data
    joined = b"".join(
        hashlib.blake2b(flat[at : at + PAGE_SIZE], digest_size=DIGEST_BYTES).digest()
        for at in range(0, len(flat), PAGE_SIZE)
    )
    return np.frombuffer(joined, np.uint64).reshape(-1, 2)


def memory_digest(places: Places, present: NDArray[np.bool_], digests: Callable[[Numbers], Digests]) -> str:
    """SHA-256 over (page number, 8 bytes little-endian; digest of the page) of every present page, by number.

    present: by place. digests: gives those of so many places. What it is made of can be had from a dump alone, so
    anybody can check it.
    """
    total = hashlib.sha256()
    for numbers, chosen in _present_in_order(places, present):
        rows = np.empty((len(chosen), 3), np.uint64)
        rows[:, 0] = numbers
        rows[:, 1:] = digests(chosen)
        total.update(rows.tobytes())
    return total.hexdigest()


def _present_in_order(places: Places, present: NDArray[np.bool_]) -> Iterator[tuple[Numbers, Numbers]]:
    """Numbers and places of present pages, by number, so many at a time."""
    for first, place, pages in places.in_order():
        for start in range(0, pages, CHUNK):
            part = np.flatnonzero(present[place + start : place + min(pages, start + CHUNK)])
            if len(part):
                yield part + (first + start), part + (place + start)
