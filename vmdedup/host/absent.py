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
    COMPRESSED,
    FRAME_MASK,
    FRAME_SHIFT,
    GUARDED,
    KIND_MASK,
    KIND_SHIFT,
    PATCHED,
    PIN,
    PRESENT,
    SOFT,
    SWAPPED,
    VMA_BITS,
)
from vmdedup.host.swap_slot import let_go
from vmdedup.jit.atomic import cas, fetch_add, load, store
from vmdedup.jit.kernel import kernel


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
