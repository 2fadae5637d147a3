"""The ladder: slots on rungs, sampled with a stride, judged, promoted and demoted. Kernels only.

A round of a rung goes through the pages of all its slots with a stride, from a random start; each sample is the next
page of its slot in that slot's own random order. When the samples leave a slot it is judged.
Source: uksm 0.1.2.6, uksm_do_scan and judge_slot.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.layout import FRAME_MASK, FRAME_SHIFT, PRESENT
from vmdedup.jit.atomic import load
from vmdedup.jit.kernel import kernel
from vmdedup.policy.sharing import is_shared
from vmdedup.policy.uksm.ahead import AHEAD, fetch_next, look_ahead
from vmdedup.policy.uksm.index import unlink
from vmdedup.policy.uksm.known import forget_page
from vmdedup.policy.uksm.layout import (
    ABUNDANT,
    DEMOTED,
    MERGED,
    PROMOTED,
    RANDOM,
    ROUNDS,
    RUNGS,
    SCANNED,
    THRASH,
    TO_DO,
    VISITED,
)
from vmdedup.policy.uksm.merge import merge_page, note_cow

LEAST_SAMPLES = 3
PLACES_A_PAGE = 8  # places that are looked at for each page that may be scanned: most may be untouched


@kernel
def append_slot(u: Any, rung: int, slot: int) -> None:
    """Put a slot at a rung's end."""
    r = u.rungs[rung]
    last = r["last"]
    u.slots[slot]["rung"] = rung
    u.slots[slot]["prev"] = last
    u.slots[slot]["next"] = 0
    if last == 0:
        r["first"] = slot
    else:
        u.slots[last]["next"] = slot
    r["last"] = slot
    r["slots"] += 1
    r["pages"] += u.slots[slot]["pages"]


@kernel
def remove_slot(u: Any, slot: int) -> None:
    """Take a slot off its rung; if it is being sampled, the next one is."""
    r = u.rungs[u.slots[slot]["rung"]]
    before, following = u.slots[slot]["prev"], u.slots[slot]["next"]
    if r["current"] == slot:
        r["current"] = following
        r["offset"] = 0
    if before == 0:
        r["first"] = following
    else:
        u.slots[before]["next"] = following
    if following == 0:
        r["last"] = before
    else:
        u.slots[following]["prev"] = before
    r["slots"] -= 1
    r["pages"] -= u.slots[slot]["pages"]


@kernel
def forget_slot(u: Any, slot: int) -> None:
    """An address space has ended: take its slot off the ladder and its pages out of the index."""
    first = u.slots[slot]["first"]
    for entry in range(first, first + u.slots[slot]["pages"]):
        unlink(u.unstable, entry)
        forget_page(u, entry)
        u.unstable.flags[entry] = 0
    remove_slot(u, slot)
    u.slots[slot]["mm"] = 0
    if not u.slots[slot]["done"]:
        _slot_is_done(u)


@kernel
def scan_batch(h: Any, u: Any, quotas: Any) -> int:
    """Sample the rungs, the fastest first, each until so many pages with a content were looked at.

    quotas: int64[RUNGS]. Returns how many were looked at; fewer if rungs have no slots, or few pages have a content.
    """
    scanned = 0
    for step in range(RUNGS):
        rung = RUNGS - 1 - step
        scanned += _scan_rung(h, u, rung, quotas[rung])
    u.found[SCANNED] += scanned
    return scanned


@kernel
def _scan_rung(h: Any, u: Any, rung: int, pages: int) -> int:
    scanned = 0
    visits = 0
    while scanned < pages and visits < pages * PLACES_A_PAGE and u.rungs[rung]["slots"] > 0:
        if u.rungs[rung]["current"] == 0:
            _begin_round(u, rung)
        slot = u.rungs[rung]["current"]
        visits += 1
        if u.slots[slot]["sampled"] % AHEAD == 0:
            look_ahead(h, u, slot)
        entry = _next_page(u, slot)
        fetch_next(h, u, slot)
        if merge_page(h, u, entry):
            scanned += 1
        _go_on(h, u, rung, slot)
    u.found[VISITED] += visits
    return scanned


@kernel
def _next_page(u: Any, slot: int) -> int:
    s = u.slots[slot]
    entry: int = s["first"] + u.order[s["first"] + s["scanned"]]
    s["scanned"] += 1
    s["sampled"] += 1
    return entry


@kernel
def _begin_round(u: Any, rung: int) -> None:
    r = u.rungs[rung]
    r["step"] = max(1, r["pages"] // max(LEAST_SAMPLES, r["wanted"]))
    u.state[RANDOM] = (u.state[RANDOM] * 1103515245 + 12345) & 0x7FFFFFFF
    r["offset"] = (u.state[RANDOM] >> 8) % r["step"]
    r["current"] = r["first"]
    _settle(u, rung)


@kernel
def _settle(u: Any, rung: int) -> None:
    """Go on to the slot in which the offset lies; none: the round is over."""
    r = u.rungs[rung]
    while r["current"] != 0 and r["offset"] >= u.slots[r["current"]]["pages"]:
        r["offset"] -= u.slots[r["current"]]["pages"]
        r["current"] = u.slots[r["current"]]["next"]


@kernel
def _go_on(h: Any, u: Any, rung: int, slot: int) -> None:
    """The next sample; a slot that the samples leave, or all of whose pages were visited, is judged."""
    r = u.rungs[rung]
    r["offset"] += r["step"]
    if u.slots[slot]["scanned"] == u.slots[slot]["pages"]:
        r["offset"] = max(r["offset"], u.slots[slot]["pages"])
    _settle(u, rung)
    if r["current"] != slot:
        judge_slot(h, u, slot)


@kernel
def judge_slot(h: Any, u: Any, slot: int) -> None:
    """Where a slot belongs after a round of samples. Source: uksm 0.1.2.6, judge_slot and cal_dedup_ratio."""
    _find_cowed(h, u, slot)
    s = u.slots[slot]
    merged, cowed, sampled = s["merged"], s["cowed"], s["sampled"]
    s["merged"] = 0
    s["cowed"] = 0
    s["sampled"] = 0
    good = sampled > 0 and merged > 0 and (merged - cowed) * 100 >= sampled * u.state[ABUNDANT]
    if good and cowed * 100 > merged * u.state[THRASH]:
        good = False
    if s["scanned"] == s["pages"]:
        s["scanned"] = 0
        move_slot(u, slot, 0)
        if not s["done"]:
            s["done"] = 1
            _slot_is_done(u)
    elif good:
        move_slot(u, slot, s["rung"] + 1)
    else:
        move_slot(u, slot, s["rung"] - 1)


@kernel
def move_slot(u: Any, slot: int, rung: int) -> None:
    """To another rung's end; beyond the ladder's ends there is none, and where it is it stays as it is."""
    old = u.slots[slot]["rung"]
    new = min(max(rung, 0), RUNGS - 1)
    if new == old:
        return
    u.found[PROMOTED if new > old else DEMOTED] += 1
    remove_slot(u, slot)
    append_slot(u, new, slot)


@kernel
def _find_cowed(h: Any, u: Any, slot: int) -> None:
    """Find merged pages that were stored to since; the kernel is told so by its fault handler."""
    s = u.slots[slot]
    copies = h.mms[s["mm"]]["cow_ksm"] + h.mms[s["mm"]]["zero_cow"]
    if copies == s["cow_seen"]:
        return
    s["cow_seen"] = copies
    for entry in range(s["first"], s["first"] + s["pages"]):
        if u.unstable.flags[entry] & MERGED:
            e = load(h.pte, entry)
            pfn = (e >> FRAME_SHIFT) & FRAME_MASK
            if not e & PRESENT:
                u.unstable.flags[entry] &= ~MERGED & 255
            elif pfn != 0 and not is_shared(h, pfn):
                note_cow(u, entry)


@kernel
def _slot_is_done(u: Any) -> None:
    """One slot less to be gone through in this global round; after the last one the next round begins.

    Then slots of which many pages were merged go up, whoever was visited for it. Source: uksm 0.1.2.6,
    round_update_ladder.
    """
    u.state[TO_DO] -= 1
    if u.state[TO_DO] > 0:
        return
    for slot in range(1, len(u.slots)):
        s = u.slots[slot]
        if s["mm"] != 0:
            u.state[TO_DO] += 1
            s["done"] = 0
            if s["gained"] > 0 and (s["gained"] - s["lost"]) * 100 >= s["pages"] * u.state[ABUNDANT]:
                move_slot(u, slot, s["rung"] + 1)
            s["gained"] = 0
            s["lost"] = 0
    if u.state[TO_DO] > 0:
        u.state[ROUNDS] += 1
