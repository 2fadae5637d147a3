"""ksmd's scan: which page is next, and what becomes of it. Kernels only."""

from __future__ import annotations

from typing import Any

from vmdedup.host.fault import unshare
from vmdedup.host.folio import folio_of
from vmdedup.host.frames import get_frame, put_frame, stable_node_of
from vmdedup.host.huge import split_folio
from vmdedup.host.layout import MERGEABLE, NO_NODE, PIN, SOFT
from vmdedup.host.mm import mm_of_entry
from vmdedup.jit.atomic import cas, load
from vmdedup.jit.kernel import kernel
from vmdedup.jit.page import checksum
from vmdedup.ksm.ahead import look_ahead
from vmdedup.ksm.layout import AHEAD, EXISTS, HASHED, STABLE
from vmdedup.ksm.merge import merge_into, merge_two, merge_with_zero_page
from vmdedup.ksm.mm_list import HEAD, drop_slot, is_alive
from vmdedup.ksm.moved import seeks_its_like
from vmdedup.ksm.order import KEY_BITS, KEY_VALID, base_is_bad, page_key, rebase
from vmdedup.ksm.rmap import free_item, get_item, remove_from_tree
from vmdedup.ksm.stable import remove_migrated, stable_tree_insert, stable_tree_search
from vmdedup.ksm.stable_node import NO_ROOM, link_item
from vmdedup.ksm.unstable import candidate_frame, unstable_tree_search_insert

NONE = 0


@kernel
def ksm_do_scan(h: Any, k: Any, pages: int) -> int:
    """One batch: scan up to that many pages, ending early at the end of the full scan. Returns pages scanned."""
    for done in range(pages):
        entry = scan_get_next_rmap_item(h, k)
        if entry == NONE:
            return done
        if entry % AHEAD == 0:
            look_ahead(h, k, entry)
        cmp_and_merge_page(h, k, entry)
        k.st[0]["pages_scanned"] += 1
    return pages


@kernel
def scan_get_next_rmap_item(h: Any, k: Any) -> int:
    """The next candidate page (its entry), with an rmap_item; NONE at the end of a full scan.

    Source: mm/ksm.c:scan_get_next_rmap_item.
    """
    st = k.st[0]
    if k.slots[HEAD]["next"] == HEAD:
        return NONE
    if st["cursor"] == HEAD:
        begin_full_scan(h, k)
    while True:
        mm = st["cursor"]
        if is_alive(h, mm):
            entry = _next_in_mm(h, k, mm)
            if entry != NONE:
                return entry
        else:
            _forget_dead(h, k, mm)
        following = k.slots[mm]["next"]
        if st["address"] == 0:
            drop_slot(h, k, mm)
        st["cursor"] = following
        st["address"] = 0
        if following == HEAD:
            st["seqnr"] += 1
            return NONE


@kernel
def begin_full_scan(h: Any, k: Any) -> None:
    """Start at the first address space, with an empty unstable tree: its root is forgotten, nothing is visited."""
    st = k.st[0]
    if not st["merge_across_nodes"]:
        remove_migrated(h, k, False)
    for nid in range(len(k.unstable)):
        k.unstable[nid] = 0
    st["scan_start"] = st["now"]
    st["cursor"] = k.slots[HEAD]["next"]
    st["address"] = 0


@kernel
def _forget_dead(h: Any, k: Any, mm: int) -> None:
    first = h.mms[mm]["first"]
    for entry in range(first, first + h.mms[mm]["pages"]):
        free_item(h, k, entry)
    k.st[0]["address"] = 0


@kernel
def _next_in_mm(h: Any, k: Any, mm: int) -> int:
    """Go on through an address space to its next candidate, forgetting pages that are gone on the way."""
    st = k.st[0]
    first = h.mms[mm]["first"]
    end = first + h.mms[mm]["pages"]
    start = st["address"] - 1 if st["address"] > 0 else 0
    for entry in range(first + start, end):
        pte = load(h.pte, entry)
        if pte & MERGEABLE:
            st["address"] = entry - first + 2
        pfn = candidate_frame(pte)
        if pfn == 0:
            if k.items[entry]["flags"] & EXISTS:
                free_item(h, k, entry)
            st["absent"] += 1
            continue
        get_item(k, mm, entry)
        if not (st["smart_scan"] and _should_skip(h, k, entry, pfn)):
            return entry
    return NONE


@kernel
def _should_skip(h: Any, k: Any, entry: int, pfn: int) -> bool:
    """Smart scan: pass over a page that has not merged for long. Source: mm/ksm.c:should_skip_rmap_item."""
    if stable_node_of(h, pfn) != 0:
        return False
    item = k.items[entry]
    if item["flags"] & STABLE and k.st[0]["items_start_anew"]:
        return False
    age = item["age"]
    if age < 255:
        item["age"] = age + 1
    if age < 3:
        return False
    if item["remaining_skips"] == 0:
        item["remaining_skips"] = _skips_at(age)
        return False
    k.st[0]["pages_skipped"] += 1
    item["remaining_skips"] -= 1
    remove_from_tree(h, k, entry)
    return True


@kernel
def _skips_at(age: int) -> int:
    """How many visits a page of that age is spared. Source: mm/ksm.c:skip_age."""
    if age <= 3:
        return 1
    if age <= 5:
        return 2
    return 4 if age <= 8 else 8


@kernel
def cmp_and_merge_page(h: Any, k: Any, entry: int) -> None:
    """Decide about one page. Source: mm/ksm.c:cmp_and_merge_page."""
    pfn = settle_without_unstable(h, k, entry, True)
    if pfn != 0:
        tree_entry = unstable_tree_search_insert(h, k, entry, pfn)
        if tree_entry != 0:
            merge_with_tree_page(h, k, entry, pfn, tree_entry)


@kernel
def settle_without_unstable(h: Any, k: Any, entry: int, gated: bool) -> int:
    """All that is to be decided before the unstable tree is asked. Returns the page's frame if it has to be, else 0.

    gated: a page that has changed since its last visit is left for the next one.
    """
    pfn = candidate_frame(load(h.pte, entry))
    if pfn == 0:
        return 0  # its owner has just discarded it
    node = stable_node_of(h, pfn)
    if node != 0 and node != NO_NODE:
        if not seeks_its_like(h, k, entry, pfn, node):
            return 0
        if k.st[0]["checksum_first"]:
            return pfn
        k.st[0]["hashed"] += 1
        if _has_changed(h, k, entry, pfn) and gated:
            return 0
        return 0 if _became_zero_page(h, k, entry, pfn) else pfn
    if not k.st[0]["checksum_first"]:
        return _settle_stable_tree_first(h, k, entry, pfn, gated)
    remove_from_tree(h, k, entry)
    k.st[0]["hashed"] += 1
    if _has_changed(h, k, entry, pfn) and gated:
        return 0
    if _became_zero_page(h, k, entry, pfn):
        return 0
    return 0 if _settle_in_stable_tree(h, k, entry, pfn) else pfn


@kernel
def _became_zero_page(h: Any, k: Any, entry: int, pfn: int) -> bool:
    """Whether an empty page has been replaced by the zero page, where that is wanted."""
    st = k.st[0]
    is_empty = st["use_zero_pages"] and k.items[entry]["oldchecksum"] == st["zero_checksum"]
    return is_empty and merge_with_zero_page(h, k, entry, pfn)


@kernel
def _settle_stable_tree_first(h: Any, k: Any, entry: int, pfn: int, gated: bool) -> int:
    """As settle_without_unstable, of versions that look for any page in the stable tree, changed or not.

    The item leaves its own tree after that. Of a page that merges no checksum is taken, but its key is needed.
    """
    item = k.items[entry]
    before = item["oldchecksum"]
    changed = _has_changed(h, k, entry, pfn)
    if base_is_bad(k):
        rebase(h, k, pfn)
    node = stable_tree_search(h, k, pfn, _key_of(h, k, entry, pfn), 0)
    remove_from_tree(h, k, entry)
    if node != 0:
        if item["oldchecksum"] != before:
            item["oldchecksum"] = before
            item["flags"] &= ~HASHED & 255
        _merge_with_node(h, k, entry, pfn, node)
        return 0
    k.st[0]["hashed"] += 1
    if changed and gated:
        return 0
    return 0 if _became_zero_page(h, k, entry, pfn) else pfn


@kernel
def _has_changed(h: Any, k: Any, entry: int, pfn: int) -> bool:
    """The checksum gate: whether the page differs from what it held at the last visit; remembers what it holds now.

    A page that nobody stored to since its checksum was taken (SOFT is clear) is not read again.
    """
    item = k.items[entry]
    pte = load(h.pte, entry)
    if candidate_frame(pte) != pfn:
        return True  # its owner has just discarded or copied it
    if item["flags"] & HASHED and not pte & (SOFT | PIN):
        return False
    quiet = not pte & PIN and cas(h.pte, entry, pte, pte & ~SOFT)
    value = checksum(h.words, pfn)
    if quiet:
        item["flags"] |= HASHED
        item["key"] = page_key(h, k, pfn) | KEY_VALID
    else:
        item["flags"] &= ~HASHED & 255
        item["key"] = 0
    changed = value != item["oldchecksum"]
    item["oldchecksum"] = value
    return changed


@kernel
def _key_of(h: Any, k: Any, entry: int, pfn: int) -> int:
    """The page's order key: its item's if it has a valid one, which holds until somebody stores to the page."""
    item = k.items[entry]
    if item["key"] & KEY_VALID:
        return item["key"] & KEY_BITS
    key = page_key(h, k, pfn)
    if item["flags"] & HASHED:
        item["key"] = key | KEY_VALID
    return key


@kernel
def _settle_in_stable_tree(h: Any, k: Any, entry: int, pfn: int) -> bool:
    """Merge a page with a KSM frame of its content if there is one, which then is the only one to be tried."""
    if base_is_bad(k):
        rebase(h, k, pfn)
    node = stable_tree_search(h, k, pfn, _key_of(h, k, entry, pfn), 0)
    if node != 0:
        _merge_with_node(h, k, entry, pfn, node)
    return node != 0


@kernel
def _merge_with_node(h: Any, k: Any, entry: int, pfn: int, node: int) -> None:
    kpfn = int(k.nodes[node]["kpfn"])
    if not get_frame(h, kpfn):
        return
    if stable_node_of(h, kpfn) == node and get_frame(h, pfn):
        if merge_into(h, k, entry, pfn, kpfn, 0):
            link_item(h, k, entry, node)
        put_frame(h, pfn)
    put_frame(h, kpfn)


@kernel
def merge_with_tree_page(h: Any, k: Any, entry: int, pfn: int, tree_entry: int) -> None:
    """Make the scanned page's frame a KSM frame and give it to both."""
    tree_pfn = candidate_frame(load(h.pte, tree_entry))
    if tree_pfn == 0 or not get_frame(h, pfn):
        return
    if get_frame(h, tree_pfn):
        merged = merge_two(h, k, entry, pfn, tree_entry, tree_pfn)
        if merged:
            _found_node(h, k, entry, pfn, tree_entry)
        put_frame(h, tree_pfn)
        if not merged and folio_of(h, pfn) != 0 and folio_of(h, pfn) == folio_of(h, tree_pfn):
            split_folio(h, entry, pfn, 0)  # both are of one huge page, and now nobody holds the other one
    put_frame(h, pfn)


@kernel
def _found_node(h: Any, k: Any, entry: int, pfn: int, tree_entry: int) -> None:
    node = stable_tree_insert(h, k, pfn)
    if node == NO_ROOM:
        unshare(h, mm_of_entry(h, tree_entry), tree_entry)
        unshare(h, mm_of_entry(h, entry), entry)
        return
    link_item(h, k, tree_entry, node)
    link_item(h, k, entry, node)
