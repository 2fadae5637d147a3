"""Looking the next pages up in both trees together, to have in the cache what searches will touch. Kernels only.

A search in a tree of many nodes waits for memory at every level, since each step needs the one before. Here
the steps of several pages alternate, so their waits overlap. Nothing is decided: the walks follow keys alone,
without side effects, and where they end serves only to fetch the start of pages that are likely to be
compared. A wrong turn (an old key, a chain) costs time, never an answer.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.layout import FRAME_MASK, FRAME_SHIFT
from vmdedup.jit.kernel import kernel
from vmdedup.ksm.layout import AHEAD, STABLE
from vmdedup.ksm.order import KEY_BITS, KEY_VALID

DEEPEST = 64  # levels; a red-black tree of 2**31 nodes has no more
LINES = 4  # cache lines of a page that are fetched, and their size in words
LINE_WORDS = 8
WORTH_WHILE = 1 << 11  # nodes; a smaller tree is in the cache anyway


@kernel
def look_ahead(h: Any, k: Any, entry: int) -> None:
    """Walk both trees for the AHEAD pages from entry on."""
    if _is_worth_while(k):
        some = 0
        for q in range(AHEAD):
            some |= _aim(k, q, entry + q if entry + q < len(k.items) else 0)
        _walk(h, k, some)


@kernel
def look_ahead_at(h: Any, k: Any, entries: Any, at: int) -> None:
    """Walk both trees for AHEAD pages that are named, those from place `at` on. entries: int64[n]."""
    if _is_worth_while(k):
        some = 0
        for q in range(AHEAD):
            some |= _aim(k, q, entries[at + q] if at + q < len(entries) else 0)
        _walk(h, k, some)


@kernel
def _is_worth_while(k: Any) -> bool:
    return k.st[0]["pages_shared"] + k.st[0]["pages_unshared"] >= WORTH_WHILE


@kernel
def _aim(k: Any, q: int, entry: int) -> int:
    """Let a page be the q-th that is looked up. Returns its key."""
    key = 0
    if not k.items[entry]["flags"] & STABLE:
        key = k.items[entry]["key"]
    wanted = key & KEY_VALID != 0
    k.ahead[q, 0] = key & KEY_BITS
    k.ahead[q, 1] = k.stable[0] if wanted else 0
    k.ahead[q, 2] = k.unstable[0] if wanted else 0
    k.ahead[q, 3] = 0
    return key


@kernel
def _walk(h: Any, k: Any, some: int) -> None:
    if some & KEY_VALID:
        k.st[0]["looked_ahead"] = _walk_stable(k) ^ _walk_unstable(h, k) ^ _touch_frames(h, k)


@kernel
def _walk_stable(k: Any) -> int:
    for _ in range(DEEPEST):
        left_over = 0
        for q in range(AHEAD):
            node = k.nodes[k.ahead[q, 1]]
            left = node["left"]
            right = node["right"]
            key = k.ahead[q, 0]
            k.ahead[q, 3] = node["kpfn"] if key == node["key"] else k.ahead[q, 3]
            x = left if key < node["key"] else right
            k.ahead[q, 1] = x
            left_over |= x
        if left_over == 0:
            break
    return left_over


@kernel
def _walk_unstable(h: Any, k: Any) -> int:
    touched = 0
    for _ in range(DEEPEST):
        left_over = 0
        for q in range(AHEAD):
            x = k.ahead[q, 2]
            pte = h.pte[x]
            touched += pte
            item = k.items[x]
            left = item["left"]
            right = item["right"]
            key = k.ahead[q, 0]
            other = item["key"] & KEY_BITS
            k.ahead[q, 3] = (pte >> FRAME_SHIFT) & FRAME_MASK if key == other else k.ahead[q, 3]
            x = left if key < other else right
            k.ahead[q, 2] = x
            left_over |= x
        if left_over == 0:
            break
    return touched


@kernel
def _touch_frames(h: Any, k: Any) -> int:
    """Load the first cache lines of pages with equal keys, which will be compared; the processor fetches on.

    What a chain has for a frame is the number of its first dup, of which there may be more than frames.
    """
    touched = 0
    for word in range(0, min(LINES * LINE_WORDS, h.words.shape[1]), LINE_WORDS):
        for q in range(AHEAD):
            pfn = k.ahead[q, 3] if k.ahead[q, 3] < len(h.frames) else 0
            touched ^= h.words[pfn, word] ^ h.frames[pfn]
    return touched
