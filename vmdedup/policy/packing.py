"""A page taken away from its guest and kept as a patch or compressed: the steps that every policy does alike.

take: protected, its frame held ─► packed bytes into storage ─► keep: taken away ─► its slot counts what it needs
                                        │ too large, or no room     │ its guest was faster
                                        └─► still the caller's      └─► storage is let go
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vmdedup.host.frames import put_frame
from vmdedup.host.layout import COMPRESSED, FILLED, FRAME_MASK, FRAME_SHIFT, PATCHED
from vmdedup.host.memory import Host
from vmdedup.policy.difference_engine.take import keep_away, take_page
from vmdedup.policy.storage import Storage
from vmdedup.policy.work import Work
from vmdedup.subpage.compression import CODECS, compress


@dataclass
class Page:
    """A page that is protected, its frame held: what is to become of it is being found out."""

    entry: int
    protected: int
    pfn: int
    content: bytes


class Packing:
    """Keeps pages in other forms. done: how often each thing happened, by the names of `outcomes`."""

    def __init__(self, host: Host, work: Work, outcomes: Iterable[str]) -> None:
        self._h = host.arrays
        self._work = work
        self.storage = Storage(host)
        self.done = dict.fromkeys(outcomes, 0)

    def take(self, entry: int, unfit: int) -> Page | None:
        """Protect a page, hold its frame and read it. None: shared, or one of the bits `unfit` of its entry is set."""
        protected = int(take_page(self._h, entry, unfit))
        if not protected:
            return None
        pfn = (protected >> FRAME_SHIFT) & FRAME_MASK
        return Page(entry, protected, pfn, self._h.bytes[pfn].tobytes())

    def keep_patch(self, page: Page, delta: bytes, reference: int, kind: int, most: int) -> bool:
        """Keep a page as a patch of at most so many bytes against a frame that the caller holds, and then no longer.

        kind: of the patch, its number among subpage.delta's. False: too large, or no room.
        """
        if len(delta) > most or not self.storage.put(page.entry, delta):
            self.done["patch_too_large"] += len(delta) > most
            put_frame(self._h, reference)
            return False
        # From here on it is the slot that counts the reference.
        self._h.slots[page.entry]["reference"] = reference
        self._h.slots[page.entry]["codec"] = kind
        self.keep(page, PATCHED, "patched")
        return True

    def keep_compressed(self, page: Page, codec: int, most: int, otherwise: str) -> bool:
        """Keep a page compressed, in at most so many bytes. False: it takes more (`otherwise`), or there is no room."""
        packed = compress(page.content, CODECS[codec])
        self._work.count("compress")
        if len(packed) > most:
            self.done[otherwise] += 1
            return False
        if not self.storage.put(page.entry, packed):
            return False
        self._h.slots[page.entry]["codec"] = codec
        self.keep(page, COMPRESSED, "compressed")
        return True

    def keep(self, page: Page, kind: int, outcome: str) -> None:
        """Take the page away, unless its guest was faster."""
        if keep_away(self._h, page.entry, page.protected, kind):
            self.done[outcome] += 1
        elif kind != FILLED:
            self.storage.uncounted(page.entry)
