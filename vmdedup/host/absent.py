"""Pages that are not present because a scanner keeps their content in another form. Kernels only.

    scanner   write_protect ─► slot filled ─► make_absent          content patched, compressed, swapped or one word
              content in a shared frame ─► make_guarded             whole, but neither to be read nor to be stored to
    owner     pin ─► content rebuilt from the slot ─► make_present  at its next access, by host.rebuild

A slot counts the frame that holds its bytes, and the frame that its patch refers to. A guarded page's entry names its
frame and counts it; that frame is marked as shared, so that nobody who maps it stores in place. A swapped page's entry
names a swap record and is counted by it (host.swap_slot). A *form* is a kind and what the entry names, as its bits from
KIND_SHIFT on have them.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.frames import put_frame
from vmdedup.host.layout import (
    ACCESSED,
    CACHED_SHIFT,
    COMPRESSED,
    COUNT_MASK,
    CTL_SWAP_FRAMES,
    CTL_SWAP_FREE,
    CTL_SWAP_HEAD,
    FRAME_MASK,
    FRAME_SHIFT,
    GUARDED,
    KIND_MASK,
    KIND_SHIFT,
    PACKED,
    PATCHED,
    PIN,
    PRESENT,
    SOFT,
    SWAPPED,
    TAG_MASK,
    TAG_STEP,
    VMA_BITS,
)
from vmdedup.jit.atomic import cas, fetch_add, load, store
from vmdedup.jit.kernel import kernel

NO_RECORD = 0  # of swap


@kernel
def kind_of(entry: int) -> int:
    """The kind of an absent page's entry; 0 for one that is present, or was never touched."""
    return 0 if entry & PRESENT else (entry & KIND_MASK) >> KIND_SHIFT


@kernel
def frame_behind(entry: int) -> int:
    """The frame in which a page lies as a whole, whether it may be accessed or not; 0: the zero page, or none."""
    if entry & PRESENT or kind_of(entry) == GUARDED:
        return named_by(entry)
    return 0


@kernel
def named_by(entry: int) -> int:
    """The frame, or the swap record, that an entry names."""
    return (entry >> FRAME_SHIFT) & FRAME_MASK


@kernel
def form_swapped(record: int) -> int:
    """The form of a page that a swap record has."""
    return SWAPPED | (record << (FRAME_SHIFT - KIND_SHIFT))


@kernel
def drop_kept(h: Any, entry: int, old: int) -> None:
    """Let go of what an absent page's slot or entry counts. For whoever has changed the entry, which was `old`."""
    kind = kind_of(old)
    if kind == GUARDED:
        put_frame(h, named_by(old))
    elif kind == SWAPPED:
        let_go(h, named_by(old))
    elif kind in (PATCHED, COMPRESSED):
        put_frame(h, int(h.slots[entry]["frame"]))
        if kind == PATCHED:
            put_frame(h, int(h.slots[entry]["reference"]))


@kernel
def make_absent(h: Any, entry: int, protected: int, pfn: int, form: int) -> bool:
    """Take a protected page's frame, its slot being filled and counted. False: the guest was faster.

    The caller holds pfn. form: see above; a kind alone, or form_swapped().
    """
    if not cas(h.pte, entry, protected, (protected & VMA_BITS) | (form << KIND_SHIFT)):
        return False
    put_frame(h, pfn)
    return True


@kernel
def make_guarded(h: Any, entry: int, old: int, frame: int) -> bool:
    """Take all access to a page, whose content is in `frame` too, counted for it. False: the guest was faster.

    old: the entry as it was before the contents were compared, or copied, with ACCESSED clear. Whoever loads or stores
    sets that bit, so no page needs to be write-protected first. The page's own frame is let go.
    """
    if not cas(h.pte, entry, old, (old & VMA_BITS) | (GUARDED << KIND_SHIFT) | (frame << FRAME_SHIFT)):
        return False
    put_frame(h, (old >> FRAME_SHIFT) & FRAME_MASK)
    return True


@kernel
def pin_absent(h: Any, entry: int) -> int:
    """Pin an absent page of one's own. Returns its kind; 0, with nothing pinned, if it is not absent."""
    while True:
        old = load(h.pte, entry)
        kind = kind_of(old)
        if kind == 0 or cas(h.pte, entry, old, old | PIN):
            return kind


@kernel
def make_present(h: Any, mm: int, entry: int, pfn: int) -> None:
    """Give a page that was pinned as absent a frame with its content again, and end the pin."""
    old = load(h.pte, entry)
    kind = kind_of(old)
    store(h.pte, entry, (old & VMA_BITS) | PRESENT | ACCESSED | SOFT | PIN | (pfn << FRAME_SHIFT))
    drop_kept(h, entry, old)
    count_rebuilt(h, mm, kind)
    store(h.pte, entry, (old & VMA_BITS) | PRESENT | ACCESSED | SOFT | (pfn << FRAME_SHIFT))


@kernel
def count_rebuilt(h: Any, mm: int, kind: int) -> None:
    """Note that an access found a page absent."""
    if kind == PATCHED:
        fetch_add(h.mms["unpatched"], mm, 1)
    elif kind == SWAPPED:
        fetch_add(h.mms["swapped_in"], mm, 1)
    elif kind == GUARDED:
        fetch_add(h.mms["cow_ksm"], mm, 1)
    else:
        fetch_add(h.mms["uncompressed"], mm, 1)


@kernel
def bring_back(h: Any, entry: int, old: int, pfn: int) -> bool:
    """Let a scanner make an absent page present with a frame that it has filled. False: the owner was faster."""
    if old & PIN or not cas(h.pte, entry, old, (old & VMA_BITS) | PRESENT | SOFT | (pfn << FRAME_SHIFT)):
        return False
    drop_kept(h, entry, old)
    return True


# Swap records, as far as the end of any page is concerned


@kernel
def let_go(h: Any, record: int) -> None:
    """Drop a count of a swap record; the last one frees it and all that it has. See host.swap_slot."""
    while record != NO_RECORD:
        count = load(h.swaps["count"], record)
        if count > 1:
            if cas(h.swaps["count"], record, count, count - 1):
                return
        elif cas(h.swaps["count"], record, count, 0):
            leave_cache(h, record)
            if h.swaps[record]["place"] == PACKED:
                free_cells(h, h.swaps[record]["at0"], h.swaps[record]["cells0"])
                free_cells(h, h.swaps[record]["at1"], h.swaps[record]["cells1"])
            _push_free(h, record)
            return


@kernel
def _push_free(h: Any, record: int) -> None:
    while True:
        head = load(h.ctl, CTL_SWAP_HEAD)
        store(h.swaps["link"], record, head & COUNT_MASK)
        if cas(h.ctl, CTL_SWAP_HEAD, head, (((head & TAG_MASK) + TAG_STEP) & TAG_MASK) | record):
            fetch_add(h.ctl, CTL_SWAP_FREE, 1)
            return


@kernel
def leave_cache(h: Any, record: int) -> None:
    """Take what is in a record's cache out of it. Its content is stored, or nobody needs it."""
    pfn = load(h.swaps["frame"], record)
    if pfn != 0 and cas(h.swaps["frame"], record, pfn, 0):
        cas(h.kept, pfn, record << CACHED_SHIFT, 0)
        put_frame(h, pfn)


@kernel
def free_cells(h: Any, pfn: int, cells: int) -> None:
    """Give cells of the swap pool back, and with the last ones the frame. See host.swap_pool."""
    while cells:
        used = load(h.kept, pfn)
        if cas(h.kept, pfn, used, used & ~cells):
            if used == cells:
                fetch_add(h.ctl, CTL_SWAP_FRAMES, -1)
                put_frame(h, pfn)
            return
