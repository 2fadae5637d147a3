"""Comparing pages without reading them: order keys. Kernels only.

Both trees order pages by memcmp. A key is a 62-bit number, so that two keys that differ order two pages as memcmp
would, and only equal keys need the bytes. It is relative to a base page: where a page first differs from the base, in
which direction, and the next six bytes from there.

    bits 48-61  rank: the first differing byte's number if the page is less than the base there; the page's
                size if it equals the base; twice the size less that number if it is greater
    bits 0-47   the six bytes from there on, big-endian

Why ranks order: of two pages below the base, the one that leaves it earlier is less; above it, it is greater.
With equal ranks both agree with the base up to the same byte, and the six bytes decide. Pages that share a
long prefix with the base are thus as cheap to compare as random ones. Whatever the base is, the order is
memcmp's, so decisions never depend on it; a bad base only costs time, and is replaced (scan.py counts ties)
by a page that many comparisons had in common.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.layout import FRAME_MASK, FRAME_SHIFT, PIN, PRESENT, SOFT
from vmdedup.jit.atomic import load
from vmdedup.jit.kernel import kernel
from vmdedup.jit.page import compare_from, copy_page, first_difference
from vmdedup.ksm.layout import CHAIN, EXISTS, HASHED, UNSTABLE

RANK_SHIFT = 48
KEY_BYTES = 6
KEY_VALID = 1 << 62
KEY_BITS = KEY_VALID - 1
WINDOW = 1 << 14  # comparisons after which the base is judged


@kernel
def page_key(h: Any, k: Any, pfn: int) -> int:
    """The order key of a frame's content."""
    size = h.bytes.shape[1]
    at = first_difference(h.words, pfn, k.base, 0)
    if at == size:
        return size << RANK_SHIFT
    value = 0
    for b in range(at, at + KEY_BYTES):
        value = (value << 8) | (int(h.bytes[pfn, b]) if b < size else 0)
    base_byte = (k.base[0, at >> 3] >> ((at & 7) << 3)) & 255
    rank = at if h.bytes[pfn, at] < base_byte else 2 * size - at
    return (rank << RANK_SHIFT) | value


@kernel
def compare_keyed(h: Any, k: Any, pfn: int, key: int, other: int, other_key: int) -> int:
    """memcmp of two frames whose keys are known: negative, 0 or positive."""
    st = k.st[0]
    st["compares"] += 1
    if key != other_key:
        return -1 if key < other_key else 1
    size = h.bytes.shape[1]
    rank = key >> RANK_SHIFT
    at = (rank if rank <= size else 2 * size - rank) + KEY_BYTES
    if at >= size:
        return 0
    sign = compare_from(h.words, pfn, h.words, other, at)
    if sign != 0:
        st["ties"] += 1
    return sign


@kernel
def common_bytes(h: Any, key: int, other_key: int) -> int:
    """How many bytes two pages that differ have in common at their beginning, by their keys: seldom too few."""
    size = h.bytes.shape[1]
    return size - max(abs((key >> RANK_SHIFT) - size), abs((other_key >> RANK_SHIFT) - size))


@kernel
def base_is_bad(k: Any) -> bool:
    """Whether most comparisons of the last window needed the bytes; starts the next window."""
    st = k.st[0]
    if st["compares"] < WINDOW:
        return False
    bad = st["ties"] * 2 > st["compares"]
    st["compares"] = 0
    st["ties"] = 0
    return bad


@kernel
def rebase(h: Any, k: Any, pfn: int) -> None:
    """Make a frame's content the base, and every key that is in use anew."""
    copy_page(k.base, 0, h.words, pfn)
    for entry in range(len(k.items)):
        flags = k.items[entry]["flags"]
        if flags & EXISTS:
            pte = load(h.pte, entry)
            is_known = flags & UNSTABLE and flags & HASHED and pte & PRESENT and not pte & (SOFT | PIN)
            key = page_key(h, k, (pte >> FRAME_SHIFT) & FRAME_MASK) | KEY_VALID if is_known else 0
            k.items[entry]["key"] = key
    for node in range(1, k.st[0]["fresh_node"]):
        if k.nodes[node]["kpfn"] != 0 and not k.nodes[node]["flags"] & CHAIN:
            k.nodes[node]["key"] = page_key(h, k, k.nodes[node]["kpfn"])
