"""What anonymous memory is made of: shares that a scenario states, not numbers hidden in code."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vmdedup.errors import UsageError
from vmdedup.guest.parameters import share


@dataclass(frozen=True)
class HeapMix:
    """Shares of a heap's pages and bytes, each from 0 to 1.

    Pages first: a page is all zero or not, and the same in every process that starts the same program, similar
    there (as pages are that hold addresses), or private. Of a page that is not all zero, zero_tail of the bytes are
    zeros at its end; the rest is cut into pieces of 256 bytes, of which so many are as the page's first piece, as
    objects of one kind are, and of the others so many hold pointers, integers, text and freed objects. What these four
    leave is random bytes.
    """

    zero_pages: float = share(0.03, "pages that were asked for and never written, all zero")
    common: float = share(0.06, "initial pages alike in all processes that start the same program")
    similar: float = share(0.0, "initial pages like those of such processes, but for a quarter of their pieces")
    zero_tail: float = share(0.40, "bytes at a page's end that are still zero, on average")
    pointers: float = share(0.35, "pieces of 8-byte pointers into heap and libraries, some of them null")
    integers: float = share(0.35, "pieces of small 4-byte integers")
    text: float = share(0.12, "pieces of text")
    freed: float = share(0.05, "pieces of freed objects: a free-list link, then poison bytes")
    repeated: float = share(0.25, "pieces that are as the first one of their page")

    def __post_init__(self) -> None:
        """Raises UsageError if the kinds of pages, or the four kinds of pieces, exceed the whole."""
        if self.common + self.similar > 1 + 1e-9:
            alike = self.common + self.similar
            raise UsageError(f"heap mix: common + similar = {alike:g}; they must not exceed 1 together")
        total = self.pointers + self.integers + self.text + self.freed
        if total > 1 + 1e-9:
            raise UsageError(
                f"heap mix: pointers + integers + text + freed = {total:g}; they must not exceed 1 together"
            )


# Objects of a kernel's slab: as those of Debian's kernel 6.1, to lz4 and zstd (benchmarks.composition).
SLAB_MIX = HeapMix(
    zero_pages=0.0, common=0.0, zero_tail=0.42, pointers=0.35, integers=0.42, text=0.05, freed=0.1, repeated=0.5
)
# Kernel code and read-only data: half of it machine code, which to a page comparer is random bytes.
IMAGE_MIX = HeapMix(
    zero_pages=0.03, common=1.0, zero_tail=0.02, pointers=0.2, integers=0.15, text=0.15, freed=0.0, repeated=0.0
)
_PLAIN = HeapMix(
    zero_pages=0.0, common=0.0, zero_tail=0.0, pointers=0.0, integers=0.0, text=0.0, freed=0.0, repeated=0.0
)
# What applications write into files.
FILE_MIX = replace(_PLAIN, integers=0.2, text=0.6)
TEXT_MIX = replace(_PLAIN, text=1.0)
