"""Taking a page's frame once its content is kept in another form. Kernels only.

Only here is a page protected; what was found of it before may have changed since.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.absent import drop_kept, make_absent
from vmdedup.host.frames import frame_count, get_frame, put_frame
from vmdedup.host.layout import ACCESSED, DIRTY, FRAME_MASK, FRAME_SHIFT, KIND_SHIFT, SOFT
from vmdedup.host.share import FAILED, write_protect
from vmdedup.jit.atomic import cas, load
from vmdedup.jit.kernel import kernel
from vmdedup.jit.page import hash_page
from vmdedup.policy.sharing import frame_of, is_shared

USED = ACCESSED | DIRTY | SOFT  # bits of an entry whose page was used since the last scan
STORED = SOFT  # ... was stored to
USED_SINCE_BACK = ACCESSED | DIRTY  # ... was used since a scanner brought it back


@kernel
def take_page(h: Any, entry: int, unfit: int) -> int:
    """Protect a page whose frame is its own, hold the frame, and hash it into its slot. Returns the entry, or 0.

    unfit: bits that its entry must not have.
    """
    pfn = frame_of(h, entry)
    if pfn == 0 or frame_count(h, pfn) != 1 or load(h.pte, entry) & unfit or not get_frame(h, pfn):
        return 0
    protected = write_protect(h, entry, pfn)
    if protected == FAILED or protected & unfit:
        if protected != FAILED:
            # Used in between: whoever relies on SOFT has to look again.
            cas(h.pte, entry, protected, protected | SOFT)
        put_frame(h, pfn)
        return 0
    h.slots[entry]["hash"] = hash_page(h.words, pfn)
    return protected


@kernel
def hold_reference(h: Any, entry: int, page_pfn: int) -> int:
    """Protect a page that others may be patched against, and hold its frame. Returns the frame, or 0."""
    pfn = frame_of(h, entry)
    if pfn == 0 or pfn == page_pfn or load(h.pte, entry) & (DIRTY | SOFT) or not get_frame(h, pfn):
        return 0
    # A shared frame never changes. Any other must still be the page's, and then nobody stores into it while it is held.
    if is_shared(h, pfn) or write_protect(h, entry, pfn) != FAILED:
        return pfn
    put_frame(h, pfn)
    return 0


@kernel
def keep_away(h: Any, entry: int, protected: int, form: int) -> bool:
    """Take a page's frame, its slot being filled and counted. False: its guest was faster; the slot's counts are gone.

    Ends the hold of take_page. form: see host.absent.
    """
    pfn = (protected >> FRAME_SHIFT) & FRAME_MASK
    done = make_absent(h, entry, protected, pfn, form)
    if not done:
        drop_kept(h, entry, form << KIND_SHIFT)
    put_frame(h, pfn)
    return done
