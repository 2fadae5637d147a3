"""Pages kept in other forms: one word, a difference to another page, compressed."""

from __future__ import annotations

from typing import Final

import numpy as np

from vmdedup.host.frames import put_frame
from vmdedup.host.layout import FILLED
from vmdedup.host.memory import Host
from vmdedup.policy.difference_engine.take import hold_reference
from vmdedup.policy.mobile.visit import USED
from vmdedup.policy.packing import Packing, Page
from vmdedup.policy.work import Work
from vmdedup.subpage.compression import CODECS
from vmdedup.subpage.delta import DELTAS, patch

LZ4, LZO = (CODECS.index(codec) for codec in ("lz4", "lzo"))
CODEC: Final = "0: lz4; 1: zstd; 2: LZO"
WORDS: Final = DELTAS.index("words")


class FormPacking(Packing):
    """Keeps pages as one word, as a difference, compressed. done: how often each thing happened."""

    def __init__(self, host: Host, work: Work) -> None:
        super().__init__(host, work, ("filled", "patched", "patch_too_large", "compressed", "incompressible"))

    def take_unused(self, entry: int) -> Page | None:
        """Protect a page and hold its frame. None: shared, or used since it was last looked at."""
        return self.take(entry, USED)

    def let_go(self, page: Page) -> None:
        """Leave a page as it is."""
        put_frame(self._h, page.pfn)

    def fill(self, page: Page) -> bool:
        """Keep a page that is one word all over as that word. False: it is none."""
        words = np.frombuffer(page.content, np.int64)
        self._work.count("compare_byte", 8)
        if words[0] != words[-1] or not (words == words[0]).all():
            return False
        self._work.count("compare_byte", len(page.content))
        self._h.slots[page.entry]["fill"] = words[0]
        self.keep(page, FILLED, "filled")
        return True

    def difference(self, page: Page, base: int, cut_off: int, kind: int) -> bool:
        """Keep a page as what differs from entry `base`'s page. False: too much, or that page cannot be had.

        kind: of the difference, its number among subpage.delta's.
        """
        pfn = int(hold_reference(self._h, base, page.pfn))
        if pfn == 0:
            return False
        delta = patch(self._h.bytes[pfn].tobytes(), page.content, DELTAS[kind])
        self._bill(kind, len(page.content), len(delta) <= cut_off)
        return self.keep_patch(page, delta, pfn, kind, cut_off)

    def _bill(self, kind: int, size: int, fits: bool) -> None:
        """Of an attempt at a difference. Words are compared, and only one that fits is made."""
        if kind != WORDS:
            self._work.count("patch")
            return
        self._work.count("compare_byte", size)
        self._work.count("word_patch", int(fits))

    def compress(self, page: Page, cut_off: int, codec: int) -> bool:
        """Keep a page compressed. False: it would take more than cut_off bytes, or no frame is left.

        codec: its number among subpage.compression's.
        """
        return self.keep_compressed(page, codec, cut_off, "incompressible")
