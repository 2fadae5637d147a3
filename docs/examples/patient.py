"""A policy of one's own, as a user would write it: a page is shared once its content was the same for a while."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from vmdedup.host.memory import Host
from vmdedup.jit.page import hash_page
from vmdedup.ksm.sysfs import Tunable
from vmdedup.policy.base import Policy
from vmdedup.policy.figures import shared_pages
from vmdedup.policy.sharing import SHARED, frame_of, is_shared, make_shared, share_page
from vmdedup.policy.walk import Walk


class Patient(Policy):
    """Shares pages whose content it found unchanged in several rounds."""

    name: ClassVar[str] = "patient"
    source: ClassVar[str] = "an example"
    tunables: ClassVar[Mapping[str, Tunable]] = {
        "patience": Tunable("patience", 1, "rounds in which a page has to stay as it was", "rounds", high=100)
    }

    def __init__(self, host: Host, seed: int = 0) -> None:
        super().__init__(host, seed)
        self._walk = Walk(host)
        self._seen: dict[int, tuple[int, int]] = {}  # entry: hash, rounds with the same
        self._where: dict[int, int] = {}  # hash: an entry that had it
        self._scanned = 0

    def enter(self, mm: int) -> None:
        """Look at it too."""
        self._walk.enter(mm)

    def exit(self, mm: int) -> None:
        """What was known of its pages is found out to be wrong when it is looked at."""
        self._walk.leave(mm)
        self.host.release(mm)

    def scan(self, pages: int) -> int:
        """Look at the next pages."""
        looked = 0
        while looked < pages:
            _, entries = self._walk.next(pages - looked)
            if not len(entries):
                break
            for entry in entries.tolist():
                self._look(entry)
            looked += len(entries)
        self._scanned += looked
        self.work.count("visit", looked)
        return looked

    def _look(self, entry: int) -> None:
        h = self.host.arrays
        pfn = int(frame_of(h, entry))
        if pfn == 0 or is_shared(h, pfn):
            return
        self.work.count("hash_byte", self.host.page_size)
        digest = int(hash_page(h.words, pfn))
        before, rounds = self._seen.get(entry, (digest, -1))
        rounds = rounds + 1 if before == digest else 0
        self._seen[entry] = digest, rounds
        if rounds >= self.get("patience"):
            self._share(entry, pfn, digest)

    def _share(self, entry: int, pfn: int, digest: int) -> None:
        h = self.host.arrays
        if not np.any(h.words[pfn]):
            self.work.count("zero_merge", int(share_page(h, entry, 0) == SHARED))
            return
        other = self._where.setdefault(digest, entry)
        shared = int(frame_of(h, other))
        if other == entry or shared == 0:
            self._where[digest] = entry
        elif is_shared(h, shared) or make_shared(h, other, shared):
            self.work.count("merge", int(share_page(h, entry, shared) == SHARED))

    def counters(self) -> dict[str, int]:
        """KSM's names."""
        shared, sharing = shared_pages(self.host)
        return {
            "full_scans": self._walk.rounds,
            "pages_scanned": self._scanned,
            "pages_shared": shared,
            "pages_sharing": sharing,
        }
