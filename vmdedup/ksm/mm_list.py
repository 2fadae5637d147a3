"""The list of address spaces that ksmd scans, circular through slot 0. Kernels only."""

from __future__ import annotations

from typing import Any

from vmdedup.host.layout import MM_DEAD, MM_FREE, MM_LIVE
from vmdedup.host.mm import mm_state, set_mm_state
from vmdedup.jit.kernel import kernel

HEAD = 0


@kernel
def is_alive(h: Any, mm: int) -> bool:
    """Whether an address space has not exited."""
    return mm_state(h, mm) == MM_LIVE


@kernel
def _insert_before(k: Any, mm: int, following: int) -> None:
    before = k.slots[following]["prev"]
    k.slots[mm]["next"] = following
    k.slots[mm]["prev"] = before
    k.slots[before]["next"] = mm
    k.slots[following]["prev"] = mm


@kernel
def _take_out(k: Any, mm: int) -> None:
    before = k.slots[mm]["prev"]
    following = k.slots[mm]["next"]
    k.slots[before]["next"] = following
    k.slots[following]["prev"] = before


@kernel
def enter(k: Any, mm: int, at_tail: bool) -> None:
    """Put an address space on the list, last in the current full scan. Source: mm/ksm.c:__ksm_enter."""
    if k.slots[mm]["on_list"]:
        return
    k.slots[mm]["on_list"] = 1
    _insert_before(k, mm, HEAD if at_tail else k.st[0]["cursor"])


@kernel
def drop_slot(h: Any, k: Any, mm: int) -> None:
    """Take an address space off the list; a dead one's record may be used again."""
    _take_out(k, mm)
    k.slots[mm]["on_list"] = 0
    _release(h, k, mm)


@kernel
def _release(h: Any, k: Any, mm: int) -> None:
    """Let a dead address space's record be used again; its children are its parent's then."""
    if is_alive(h, mm):
        return
    for child in range(len(k.slots)):
        if k.slots[child]["parent"] == mm:
            k.slots[child]["parent"] = k.slots[mm]["parent"]
    k.slots[mm]["parent"] = 0
    set_mm_state(h, mm, MM_DEAD, MM_FREE)


@kernel
def leave(h: Any, k: Any, mm: int) -> None:
    """An address space has exited: let the scan reach it next, to clean up. Source: mm/ksm.c:__ksm_exit."""
    if not k.slots[mm]["on_list"]:
        _release(h, k, mm)
        return
    cursor = k.st[0]["cursor"]
    if cursor == mm:
        return
    if k.slots[mm]["rmap_items"] == 0:
        drop_slot(h, k, mm)
        return
    _take_out(k, mm)
    _insert_before(k, mm, k.slots[cursor]["next"])
