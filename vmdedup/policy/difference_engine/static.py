"""What sharing and patching would save of a memory that stands still: no clock, no storage, every page looked at once.

So the paper chose its detector: sections 3.1 and 3.2, Table 1 and Figure 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmdedup.jit.page import hash_page
from vmdedup.subpage.delta import CUT_OFF, patch
from vmdedup.subpage.detector import HashSimilarityDetector

CHUNK = 1024  # pages whose signatures are computed at once
NOTHING = -1  # the number of a reference that holds zeros only


@dataclass(frozen=True)
class StaticSavings:
    """Pages by class, as Table 1 has them; patch_bytes: what all patches take together.

    unique, sharable, zero: before anything is done; sharable pages have a copy, and are not zero. shared: contents that
    the sharable pages have. reference, patchable: all that is left after sharing, the zero page among it. alone: of the
    patchable pages, those whose patch would not be too large without any reference, because they repeat themselves.
    """

    unique: int
    sharable: int
    zero: int
    shared: int
    reference: int
    patchable: int
    patch_bytes: int
    alone: int
    page_size: int = 4096

    @property
    def initial(self) -> int:
        """Pages before anything is done."""
        return self.unique + self.sharable + self.zero

    @property
    def after_sharing(self) -> int:
        """Pages that are left when equal ones are shared, zeros as one page."""
        return self.reference + self.patchable

    @property
    def patch_pages(self) -> int:
        """Pages that the patches fill, packed without gaps."""
        return -(-self.patch_bytes // self.page_size)

    @property
    def after_patching(self) -> int:
        """Pages that are left when similar ones are patched, too."""
        return self.reference + self.patch_pages

    def percent_shared(self) -> float:
        """Saved by sharing, per cent of all pages."""
        return 100 * (self.initial - self.after_sharing) / max(1, self.initial)

    def percent_patched(self) -> float:
        """Saved by patching beyond that, per cent of all pages: what Figure 2 shows."""
        return 100 * (self.after_sharing - self.after_patching) / max(1, self.initial)


class StaticMemory:
    """A memory that stands still: pages, uint8[n, 4096]. Patches are made once, however many detectors are tried.

    The zero page is no reference: nothing can be copied from it that a patch could not repeat by itself, and the first
    page of the many that agree in a block of zeros has to stand for all of them. zeros: further zero pages, where one
    is among the pages.
    """

    def __init__(self, pages: NDArray[np.uint8], zeros: int = 0) -> None:
        self._pages = pages
        words = np.ascontiguousarray(pages).view(np.int64)
        hashes = np.fromiter((hash_page(words, i) for i in range(len(words))), np.int64, len(words))
        _, first, copies = np.unique(hashes, return_index=True, return_counts=True)
        order = np.argsort(first)
        self._distinct, copies = first[order], copies[order]
        zero_page = np.zeros((1, pages.shape[1] // 8), np.int64)
        is_zero = hashes[self._distinct] == hash_page(zero_page, 0)
        several = (copies > 1) & ~is_zero
        self._zero = int(copies[is_zero].sum()) + zeros
        self._sharable, self._shared = int(copies[several].sum()), int(several.sum())
        self._unique = len(words) + zeros - self._zero - self._sharable
        self._others = self._distinct[~is_zero]
        self._sizes: dict[tuple[int, int], int] = {}

    def savings(
        self, k: int = 2, s: int = 1, c: int = 1, bits: int = 18, seed: int = 0, cut_off: int = CUT_OFF
    ) -> StaticSavings:
        """What is left when HashSimilarityDetector(k, s), c with signatures of so many bits looks for similar pages.

        cut_off: bytes of the largest patch that is worth its page. seed: of the places in a page that are hashed.
        """
        detector = HashSimilarityDetector(k, s, c, self._pages.shape[1], bits, seed)
        patched = patch_bytes = alone = 0
        for start in range(0, len(self._others), CHUNK):
            numbers = self._others[start : start + CHUNK]
            signatures = detector.signatures(np.ascontiguousarray(self._pages[numbers]))
            for page, own in zip(numbers.tolist(), signatures, strict=True):
                size = min((self._patch_size(other, page) for other in detector.candidates(own)), default=cut_off + 1)
                if size <= cut_off:
                    patched += 1
                    patch_bytes += size
                    alone += self._patch_size(NOTHING, page) <= cut_off
                else:
                    detector.remember(page, own)
        return StaticSavings(
            self._unique,
            self._sharable,
            self._zero,
            self._shared,
            len(self._distinct) - patched,
            patched,
            patch_bytes,
            alone,
            self._pages.shape[1],
        )

    def _patch_size(self, reference: int, page: int) -> int:
        size = self._sizes.get((reference, page))
        if size is None:
            content = self._pages[page].tobytes()
            base = bytes(len(content)) if reference == NOTHING else self._pages[reference].tobytes()
            size = len(patch(base, content))
            self._sizes[reference, page] = size
        return size
