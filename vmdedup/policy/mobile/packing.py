"""Pages kept in other forms: one word, a difference to another page, compressed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vmdedup.host.frames import put_frame
from vmdedup.host.layout import COMPRESSED, FILLED, FRAME_MASK, FRAME_SHIFT, PATCHED
from vmdedup.host.memory import Host
from vmdedup.policy.difference_engine.take import hold_reference, keep_away, take_page
from vmdedup.policy.mobile.visit import USED
from vmdedup.policy.storage import Storage
from vmdedup.policy.work import Work
from vmdedup.subpage.compression import CODECS, compress
from vmdedup.subpage.delta import DELTAS, patch

LZ4: Final = CODECS.index("lz4")
WORDS: Final = DELTAS.index("words")


@dataclass
class Page:
    """A page that is protected, its frame held, until it is kept in another form or let go."""

    entry: int
    protected: int
    pfn: int
    content: NDArray[np.uint8]


class Packing:
    """Keeps pages in other forms. done: how often each thing happened."""

    def __init__(self, host: Host, work: Work) -> None:
        self._h = host.arrays
        self._work = work
        self.storage = Storage(host)
        self.done = dict.fromkeys(("filled", "patched", "patch_too_large", "compressed", "incompressible"), 0)

    def take(self, entry: int) -> Page | None:
        """Protect a page and hold its frame. None: shared, or used since it was last looked at."""
        protected = int(take_page(self._h, entry, USED))
        if not protected:
            return None
        pfn = (protected >> FRAME_SHIFT) & FRAME_MASK
        return Page(entry, protected, pfn, self._h.bytes[pfn])

    def let_go(self, page: Page) -> None:
        """Leave a page as it is."""
        put_frame(self._h, page.pfn)

    def fill(self, page: Page) -> bool:
        """Keep a page that is one word all over as that word. False: it is none."""
        words = page.content.view(np.int64)
        self._work.count("compare_byte", 8)
        if words[0] != words[-1] or not (words == words[0]).all():
            return False
        self._work.count("compare_byte", len(page.content))
        self._h.slots[page.entry]["fill"] = words[0]
        self._keep(page, FILLED, "filled")
        return True

    def difference(self, page: Page, base: int, cut_off: int, kind: int) -> bool:
        """Keep a page as what differs from entry `base`'s page. False: too much, or that page cannot be had.

        kind: of the difference, its number among subpage.delta's.
        """
        pfn = int(hold_reference(self._h, base, page.pfn))
        if pfn == 0:
            return False
        delta = patch(self._h.bytes[pfn].tobytes(), page.content.tobytes(), DELTAS[kind])
        self._bill(kind, len(page.content), len(delta) <= cut_off)
        if len(delta) > cut_off or not self.storage.put(page.entry, delta):
            self.done["patch_too_large"] += len(delta) > cut_off
            put_frame(self._h, pfn)
            return False
        # From here on it is the slot that counts the base.
        self._h.slots[page.entry]["reference"] = pfn
        self._h.slots[page.entry]["codec"] = kind
        self._keep(page, PATCHED, "patched")
        return True

    def _bill(self, kind: int, size: int, fits: bool) -> None:
        """Of an attempt at a difference. Words are compared, and only one that fits is made."""
        if kind != WORDS:
            self._work.count("patch")
            return
        self._work.count("compare_byte", size)
        self._work.count("word_patch", int(fits))

    def compress(self, page: Page, cut_off: int) -> bool:
        """Keep a page compressed. False: it would take more than cut_off bytes, or no frame is left."""
        packed = compress(page.content.tobytes(), CODECS[LZ4])
        self._work.count("compress")
        if len(packed) > cut_off:
            self.done["incompressible"] += 1
            return False
        if not self.storage.put(page.entry, packed):
            return False
        self._h.slots[page.entry]["codec"] = LZ4
        self._keep(page, COMPRESSED, "compressed")
        return True

    def _keep(self, page: Page, kind: int, done: str) -> None:
        """Take the page away, unless its guest was faster."""
        if keep_away(self._h, page.entry, page.protected, kind):
            self.done[done] += 1
        elif kind != FILLED:
            self.storage.uncounted(page.entry)
