"""The similarity detector's table, one place after another by signature. Kernels only.

HashSimilarityDetector(k, s), c as in subpage.detector, with its places in the page: k signatures of s blocks of 64
bytes, c pages for each signature. The table is an array, as a signature has few bits; it is emptied at the end of each
sharing cycle, and what is no longer fit in between loses its place to the next page.
Source: Gupta et al., Difference Engine, OSDI 2008, sections 3.1.2 and 4.3.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.frames import frame_count
from vmdedup.host.layout import DIRTY, SOFT
from vmdedup.jit.atomic import load
from vmdedup.jit.kernel import kernel
from vmdedup.policy.difference_engine.records import BITS, CANDIDATES, PRIME, SIGNED
from vmdedup.policy.sharing import frame_of

LOW_31 = 0x7FFFFFFF
WORDS = 8  # of a block


@kernel
def signature(h: Any, r: Any, pfn: int, group: int) -> int:
    """One of a page's k signatures: a polynomial of its blocks' half words, modulo a prime, at points drawn once."""
    mixed = 0
    for block in range(r.places.shape[1]):
        first = r.places[group, block]
        for word in range(WORDS):
            value = h.words[pfn, first + word]
            mixed = ((mixed + (value & LOW_31)) * r.factors[block, 2 * word]) % PRIME
            mixed = ((mixed + ((value >> 31) & LOW_31)) * r.factors[block, 2 * word + 1]) % PRIME
            # The two bits that no half word has.
            mixed = mixed ^ ((value >> 62) & 3)
        mixed = (mixed * r.factors[block, 2 * WORDS]) % PRIME
    top: int = (mixed * (1 << r.settings[BITS])) >> 31
    return top


@kernel
def sign(h: Any, r: Any, entry: int, pfn: int) -> None:
    """Compute a page's signatures, unless they are known."""
    r.found[SIGNED] += 1
    if r.signatures[entry, 0] < 0:
        for group in range(r.similar.shape[0]):
            r.signatures[entry, group] = signature(h, r, pfn, group)


@kernel
def is_fit(h: Any, entry: int) -> bool:
    """Whether a page can be a reference now: it has a frame, and was not stored to since the last scan."""
    return frame_of(h, entry) != 0 and not load(h.pte, entry) & (DIRTY | SOFT)


@kernel
def find_candidates(h: Any, r: Any, entry: int, pfn: int, row: int) -> int:
    """Write the fit pages that share a signature into todo[row], each once. Returns how many there are."""
    count = 0
    sign(h, r, entry, pfn)
    for group in range(r.similar.shape[0]):
        place = r.signatures[entry, group]
        for j in range(r.similar.shape[2]):
            other = r.similar[group, place, j]
            if other != 0 and other != entry and is_fit(h, other) and frame_of(h, other) != pfn:
                known = False
                for i in range(count):
                    known = known or r.todo[row, CANDIDATES + i] == other
                if not known:
                    r.todo[row, CANDIDATES + count] = other
                    count += 1
    return count


@kernel
def offer(h: Any, r: Any, entry: int, pfn: int) -> None:
    """Make a page a candidate for each of its signatures that has room.

    A page whose frame stays in any case, because others use it too, goes before one whose frame is its own.
    """
    sign(h, r, entry, pfn)
    stays = frame_count(h, pfn) > 1
    for group in range(r.similar.shape[0]):
        place = r.signatures[entry, group]
        for j in range(r.similar.shape[2]):
            other = r.similar[group, place, j]
            if other == entry:
                break
            other_pfn = frame_of(h, other) if other != 0 else 0
            if other_pfn == pfn:
                break
            if other_pfn == 0 or not is_fit(h, other) or (stays and frame_count(h, other_pfn) == 1):
                r.similar[group, place, j] = entry
                break


@kernel
def offer_all(h: Any, r: Any, entries: Any) -> None:
    """Make pages candidates whose patches came out too large. entries: int64[n]."""
    for k in range(len(entries)):
        if is_fit(h, entries[k]):
            offer(h, r, entries[k], frame_of(h, entries[k]))
