"""The hash table of guarded frames, by content. Kernels only.

A frame is what it was entered as if it is still in use, marked as shared, and equal to the page that is looked for. So
a frame that was freed, or is used for something else by now, is never taken for what it was.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.frames import get_frame, put_frame, stable_node_of
from vmdedup.jit.kernel import kernel
from vmdedup.jit.page import same_page
from vmdedup.policy.vusion.layout import COMPARED

NONE = 0


@kernel
def find_frame(h: Any, t: Any, digest: int, pfn: int) -> int:
    """A guarded frame with the content of frame pfn, whose hash is given; counted once more for the caller. Or NONE."""
    before = NONE
    frame = int(t.heads[digest & (len(t.heads) - 1)])
    while frame != NONE:
        following = int(t.link[frame])
        if t.digest[frame] != digest:
            before = frame
        elif _has_content(h, t, frame, pfn):
            return frame
        else:
            _unlink(t, before, frame)
        frame = following
    return NONE


@kernel
def _has_content(h: Any, t: Any, frame: int, pfn: int) -> bool:
    """Whether a frame, which is then counted once more, is a shared one with this content."""
    if not get_frame(h, frame):
        return False
    if stable_node_of(h, frame) != 0:
        t.found[COMPARED] += 1
        if same_page(h.words, pfn, h.words, frame):
            return True
    put_frame(h, frame)
    return False


@kernel
def _unlink(t: Any, before: int, frame: int) -> None:
    """Take a frame out of its chain, in which it comes after `before`."""
    if before == NONE:
        t.heads[t.digest[frame] & (len(t.heads) - 1)] = t.link[frame]
    else:
        t.link[before] = t.link[frame]
    t.linked[frame] = 0


@kernel
def enter_frame(t: Any, frame: int, digest: int) -> None:
    """Let a frame be found by its content from now on, and no more by what it had before."""
    if t.linked[frame]:
        before = NONE
        other = int(t.heads[t.digest[frame] & (len(t.heads) - 1)])
        while other != frame:
            before = other
            other = int(t.link[other])
        _unlink(t, before, frame)
    bucket = digest & (len(t.heads) - 1)
    t.digest[frame] = digest
    t.link[frame] = t.heads[bucket]
    t.heads[bucket] = frame
    t.linked[frame] = 1
