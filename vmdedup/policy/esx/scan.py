"""Scanning a page: hash, look up, share, or leave a hint. Kernels only. Source: waldspurger2002, section 4.1."""

from __future__ import annotations

from typing import Any

from vmdedup.host.frames import frame_count, get_frame, put_frame, set_stable_node, stable_node_of
from vmdedup.host.layout import MM_LIVE, NO_NODE
from vmdedup.host.mm import mm_of_entry
from vmdedup.jit.kernel import kernel
from vmdedup.jit.page import same_page
from vmdedup.policy.digests import UNKNOWN, hash_anew, is_known
from vmdedup.policy.esx.frames import (
    bucket_of,
    count_of,
    drop,
    high_of,
    is_valid,
    link,
    low_of,
    set_count,
    take,
)
from vmdedup.policy.esx.layout import (
    ADOPTED,
    COLLISIONS,
    COMPARED,
    HASHED,
    HINTED,
    NO_LIMIT,
    NO_VM_LIMIT,
    PAGE_COST,
    REHASHED,
    SCANNED,
    SHARED_PAGES,
    SPARED,
    STALE_HINTS,
    STALE_SHARED,
    TAKEN,
    TOKENS,
    VISITED,
    ZERO_FRAME,
    ZERO_SHARED,
)
from vmdedup.policy.sharing import DIFFERS, SHARED, frame_of, is_shared, make_shared, share_page

DONE = True  # nothing more to be done with the page
FURTHER = False  # this frame was not it: look further along the chain
NO_FRAME = 0


@kernel
def scan_pages(h: Any, t: Any, entries: Any, pages: int) -> int:
    """Scan pages in the order given until so many had a content, or the limits forbid more. Returns how many had.

    entries: int64[n]. A guest that has used up what it may have scanned is passed over.
    """
    scanned = 0
    for k in range(len(entries)):
        if scanned == pages or (t.state[TOKENS] < PAGE_COST and not t.state[NO_LIMIT]):
            break
        mm = mm_of_entry(h, entries[k])
        if t.tokens[mm] < PAGE_COST and not t.state[NO_VM_LIMIT]:
            continue
        t.found[VISITED] += 1
        if scan_page(h, t, entries[k]):
            t.tokens[mm] -= PAGE_COST
            t.state[TOKENS] -= PAGE_COST
            scanned += 1
    t.found[SCANNED] += scanned
    return scanned


@kernel
def scan_page(h: Any, t: Any, entry: int) -> bool:
    """Scan one page. False: it has no content, or its guest is at work on it."""
    pfn = frame_of(h, entry)
    if pfn == 0:
        return False
    if is_shared(h, pfn):
        _adopt(h, t, entry, pfn)
        return True
    digest = _hash(h, t, entry, pfn)
    own = NO_FRAME
    frame = t.heads[bucket_of(t, digest)]
    while frame > 0:
        following = t.frames[frame]["link"]
        if t.frames[frame]["high"] == high_of(digest):
            if _is_own(h, t, frame, entry):
                own = frame  # there may be others of its content behind
            elif _try_frame(h, t, frame, entry, digest):
                if own != NO_FRAME:
                    drop(t, own)
                return True
        frame = following
    if own == NO_FRAME:
        _insert_hint(h, t, entry, digest)
    return True


@kernel
def _is_own(h: Any, t: Any, frame: int, entry: int) -> bool:
    """Whether a frame is the hint that the page itself left when it was last scanned."""
    return t.frames[frame]["count"] == 0 and _hinted_entry(h, t, frame) == entry


@kernel
def _hash(h: Any, t: Any, entry: int, pfn: int) -> int:
    """The hash of a page's content with its guest's salt: equal only if both are. See policy.esx.salt."""
    t.found[HASHED] += 1
    salt = t.salts[mm_of_entry(h, entry)]
    if is_known(h, t.digests, entry):
        t.found[SPARED] += 1
        known: int = t.digests[entry] ^ salt
        return known
    fresh: int = hash_anew(h, t.digests, entry, pfn) ^ salt
    return fresh


@kernel
def _insert_hint(h: Any, t: Any, entry: int, digest: int) -> None:
    """Remember the page. It is not marked copy-on-write: most pages never find a partner."""
    frame = take(h, t)
    if frame == 0:
        return
    mm = mm_of_entry(h, entry)
    t.frames[frame]["high"] = high_of(digest)
    t.frames[frame]["low"] = mm
    t.frames[frame]["page"] = entry - h.mms[mm]["first"]
    t.frames[frame]["count"] = 0
    link(t, frame, bucket_of(t, digest))
    t.found[HINTED] += 1


@kernel
def _try_frame(h: Any, t: Any, frame: int, entry: int, digest: int) -> bool:
    """A frame in the chain has the same upper hash bits as the page."""
    if t.frames[frame]["count"] == 0:
        return _try_hint(h, t, frame, entry, digest)
    if t.frames[frame]["low"] != low_of(digest):
        return FURTHER
    if not is_valid(h, t, frame):
        t.found[STALE_SHARED] += 1
        drop(t, frame)
        return FURTHER
    return _join(h, t, frame, entry)


@kernel
def _join(h: Any, t: Any, frame: int, entry: int) -> bool:
    """Map the page to a shared frame of the same hash, if the contents are equal too."""
    t.found[COMPARED] += 1
    t.digests[entry] = UNKNOWN  # sharing clears SOFT, also where it fails in the end
    kpfn = t.frames[frame]["page"]
    result = share_page(h, entry, kpfn)
    if result == SHARED:
        t.found[SHARED_PAGES] += 1
        if frame == ZERO_FRAME:
            t.found[ZERO_SHARED] += 1
            set_count(t, frame, count_of(t, frame) + 1)
        else:
            set_count(t, frame, max(1, frame_count(h, kpfn)))
    elif result == DIFFERS:
        t.found[COLLISIONS] += 1
    return DONE


@kernel
def _hinted_entry(h: Any, t: Any, frame: int) -> int:
    """The page that a hint names; 0 if its guest has gone."""
    mm = t.frames[frame]["low"]
    page = t.frames[frame]["page"]
    if h.mms[mm]["state"] != MM_LIVE or page >= h.mms[mm]["pages"]:
        return 0
    entry: int = h.mms[mm]["first"] + page
    return entry


@kernel
def _try_hint(h: Any, t: Any, frame: int, entry: int, digest: int) -> bool:
    """Hash the hinted page again: it may have changed since."""
    other = _hinted_entry(h, t, frame)
    other_pfn = frame_of(h, other) if other != 0 else 0
    if other_pfn != 0 and other_pfn == frame_of(h, entry):
        return DONE  # one frame already, by a fork
    if other_pfn == 0 or is_shared(h, other_pfn):
        return _drop_hint(t, frame)
    t.found[REHASHED] += 1
    again = _hash(h, t, other, other_pfn)
    if again != digest:
        if high_of(again) != high_of(digest) or bucket_of(t, again) != bucket_of(t, digest):
            return _drop_hint(t, frame)
        return FURTHER
    t.found[COMPARED] += 1
    if not same_page(h.words, frame_of(h, entry), h.words, other_pfn):
        t.found[COLLISIONS] += 1
        return DONE
    return _share_hinted(h, t, frame, entry, other, digest)


@kernel
def _drop_hint(t: Any, frame: int) -> bool:
    t.found[STALE_HINTS] += 1
    drop(t, frame)
    return FURTHER


@kernel
def _share_hinted(h: Any, t: Any, frame: int, entry: int, other: int, digest: int) -> bool:
    """Make the hinted page's frame a shared one and map the page to it."""
    kpfn = frame_of(h, other)
    if kpfn == 0 or not get_frame(h, kpfn):
        return _drop_hint(t, frame)
    t.digests[entry] = t.digests[other] = UNKNOWN
    if make_shared(h, other, kpfn):
        set_stable_node(h, kpfn, int(frame))
        if share_page(h, entry, kpfn) == SHARED:
            t.frames[frame]["page"] = kpfn
            t.frames[frame]["low"] = low_of(digest)
            set_count(t, frame, max(1, frame_count(h, kpfn) - 1))
            t.found[SHARED_PAGES] += 1
            t.found[TAKEN] += 1
        else:
            # One of the two was stored to meanwhile. The hinted page stays marked until it is scanned again.
            set_stable_node(h, kpfn, NO_NODE)
            drop(t, frame)
    put_frame(h, kpfn)
    return DONE


@kernel
def _adopt(h: Any, t: Any, entry: int, pfn: int) -> None:
    """Take a shared machine page that the table does not know into it: one before left it, or no partner came."""
    frame = stable_node_of(h, pfn)
    known = frame < len(t.frames) and t.frames[frame]["count"] > 0 and t.frames[frame]["page"] == pfn
    if known or not get_frame(h, pfn):
        return
    if is_shared(h, pfn):
        digest = _hash(h, t, entry, pfn)
        frame = 0 if _has_shared(h, t, digest) else take(h, t)
        if frame != 0:
            t.frames[frame]["high"] = high_of(digest)
            t.frames[frame]["low"] = low_of(digest)
            t.frames[frame]["page"] = pfn
            t.frames[frame]["count"] = 0
            set_count(t, frame, max(1, frame_count(h, pfn) - 1))
            link(t, frame, bucket_of(t, digest))
            set_stable_node(h, pfn, int(frame))
            t.found[ADOPTED] += 1
    put_frame(h, pfn)


@kernel
def _has_shared(h: Any, t: Any, digest: int) -> bool:
    """Whether there is a shared frame of that hash already."""
    frame = t.heads[bucket_of(t, digest)]
    while frame > 0:
        same = t.frames[frame]["high"] == high_of(digest) and t.frames[frame]["low"] == low_of(digest)
        if same and t.frames[frame]["count"] > 0 and is_valid(h, t, frame):
            return True
        frame = t.frames[frame]["link"]
    return False
