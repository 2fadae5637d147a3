"""What the files of one guest hold: the disk's bytes, until the guest writes others. Outlives a reboot.

A written page is remembered by what its content is made from, not by the content, so that it can be evicted and read
again. Writing back takes no time and is never behind: there is no dirty page to lose.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vmdedup.guest.content import FILLED_KEYS, filled_pages
from vmdedup.guest.disk import Disk
from vmdedup.guest.forms import BYTES, Form, Rows
from vmdedup.guest.index import Numbers
from vmdedup.guest.mixes import FILE_MIX
from vmdedup.guest.seeds import Words, keys

_LAST_VERSION = (1 << 16) - 1


class Filesystem:
    """File pages: those of the disk, by their numbers, then scratch pages for new files, used in a ring.

    A new page is made from its key as files of applications are, or filled with one byte (content.filled_key).
    seed: decides what rewritten pages of the disk hold. scratch: how many pages new files can have.
    """

    def __init__(self, disk: Disk, scratch: int, seed: int, form: Form = BYTES) -> None:
        self.disk = disk
        self._form = form
        self.pages = disk.index.pages + scratch
        self._seed = seed
        self._created = 0
        self._versions: NDArray[np.uint16] = np.zeros(disk.index.pages, dtype=np.uint16)
        self._scratch: Words = np.zeros(scratch, dtype=np.uint64)

    def read(self, pages: Numbers) -> Rows:
        """The content of file pages, in the form that is asked for: (n, 4096) bytes, or (n, 8) of fingerprints."""
        on_disk = pages < len(self._versions)
        untouched = on_disk.copy()
        untouched[on_disk] = self._versions[pages[on_disk]] == 0
        if untouched.all():
            return self._form.disk(self.disk, pages)
        written = self._written(self._written_keys(pages[~untouched]))
        out = np.empty((len(pages), written.shape[1]), dtype=np.uint8)
        out[untouched] = self._form.disk(self.disk, pages[untouched])
        out[~untouched] = written
        return out

    def _written(self, page_keys: Words) -> Rows:
        filled = page_keys < FILLED_KEYS
        made = self._form.heap(page_keys, FILE_MIX)
        if filled.any():
            kinds, which = np.unique(page_keys[filled], return_inverse=True)
            made[filled] = self._form.of(filled_pages(kinds))[which]
        return made

    def rewrite(self, pages: Numbers) -> None:
        """Pages of the disk, all different, hold other bytes from now on."""
        versions = self._versions[pages]
        self._versions[pages] = np.where(versions == _LAST_VERSION, 1, versions + 1)

    def create(self, content_keys: Words) -> Numbers:
        """The pages of a new file that holds what the keys make; they replace those of the oldest new file."""
        count = min(len(content_keys), len(self._scratch))
        numbers = (self._created + np.arange(count)) % len(self._scratch)
        self._created += count
        self._scratch[numbers] = content_keys[:count]
        return numbers.astype(np.int64) + len(self._versions)

    def replace(self, pages: Numbers, content_keys: Words) -> None:
        """Pages of new files hold what the keys make from now on."""
        self._scratch[pages - len(self._versions)] = content_keys

    def _written_keys(self, pages: Numbers) -> Words:
        on_disk = pages < len(self._versions)
        out = np.empty(len(pages), dtype=np.uint64)
        out[~on_disk] = self._scratch[pages[~on_disk] - len(self._versions)]
        rewritten = pages[on_disk]
        out[on_disk] = keys(self._seed, rewritten << 16 | self._versions[rewritten])
        return out
