"""Holding what slots count, so that it can be read or added to. Kernels only."""

from __future__ import annotations

from typing import Any

from vmdedup.host.absent import kind_of
from vmdedup.host.frames import get_frame, put_frame
from vmdedup.host.layout import COMPRESSED, PATCHED, PIN
from vmdedup.jit.atomic import load
from vmdedup.jit.kernel import kernel


@kernel
def hold_stored(h: Any, pfn: int, entry: int, offset: int) -> bool:
    """Count a frame of storage once more, if the object of that entry still lies at that place in it.

    The look comes after the hold: a frame that was freed, and is somebody else's now, is let go again.
    """
    if not get_frame(h, pfn):
        return False
    kind = kind_of(load(h.pte, entry))
    slot = h.slots[entry]
    if kind in (PATCHED, COMPRESSED) and slot["frame"] == pfn and slot["offset"] == offset:
        return True
    put_frame(h, pfn)
    return False


@kernel
def hold_kept(h: Any, entry: int) -> int:
    """Hold all that a patched or compressed page is rebuilt from. Returns its entry; 0: it is not to be had now."""
    old: int = load(h.pte, entry)
    kind = kind_of(old)
    if kind not in (PATCHED, COMPRESSED) or old & PIN or not get_frame(h, int(h.slots[entry]["frame"])):
        return 0
    if kind == PATCHED and not get_frame(h, int(h.slots[entry]["reference"])):
        put_frame(h, int(h.slots[entry]["frame"]))
        return 0
    if load(h.pte, entry) == old:
        return old
    release_kept(h, entry, kind)
    return 0


@kernel
def release_kept(h: Any, entry: int, kind: int) -> None:
    """Let go of what hold_kept held."""
    put_frame(h, int(h.slots[entry]["frame"]))
    if kind == PATCHED:
        put_frame(h, int(h.slots[entry]["reference"]))
