"""Another release of the same disk: a stated share of its files differs, by seed.

A file that differs is one of two kinds. *Rebuilt* files carry other version strings in place, in one page
out of 16, as a new build of unchanged code does. *Shifted* files got some bytes more near their start, as
changed code does, so that all that follows lies at other places inside its pages. The size of a file stays
as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vmdedup.guest.disk import Disk
from vmdedup.guest.index import Numbers
from vmdedup.guest.seeds import Words, below, mix, split_seed
from vmdedup.guest.spec import Variant
from vmdedup.units import PAGE_SIZE

if TYPE_CHECKING:
    from vmdedup.guest.content import Pages

_MARK_EVERY = 16
_MARK_BYTES = 32
_SHIFT_WITHIN = 512


class VariantDisk(Disk):
    """A disk read through a variant."""

    def __init__(self, base: Disk, variant: Variant) -> None:
        self.base = base
        self.variant = variant
        self.index = base.index
        self.identity = base.identity
        self._seed = split_seed(variant.seed, "variant")

    def differs(self, files: Numbers) -> NDArray[np.bool_]:
        """Which of the files are not as on the base disk."""
        return below(self._draws(files), self.variant.differs)

    def content_keys(self, files: Numbers) -> Words:
        """As the base disk's, but of its own for files that differ."""
        own = mix(self.base.content_keys(files) ^ np.uint64(self._seed))
        return np.where(self.differs(files), own, self.base.content_keys(files))

    def fill(self, file: int, offset: int, out: Pages) -> None:
        """The base's bytes, changed if this file differs."""
        which = np.array([file], dtype=np.int64)
        if not self.differs(which)[0]:
            self.base.fill(file, offset, out)
            return
        draw = int(mix(self._draws(which))[0])
        wanted = max(0, min(len(out), int(self.index.sizes[file]) - offset))
        if below(np.array([draw], dtype=np.uint64), self.variant.shifted)[0]:
            self._fill_shifted(file, offset, out[:wanted], draw)
        else:
            self._fill_rebuilt(file, offset, out[:wanted], draw)

    def close(self) -> None:
        """Close the base disk's files."""
        self.base.close()

    def _draws(self, files: Numbers) -> Words:
        return mix(self.index.keys[files] ^ np.uint64(self._seed))

    def _fill_shifted(self, file: int, offset: int, out: Pages, draw: int) -> None:
        at = draw % max(1, min(_SHIFT_WITHIN, int(self.index.sizes[file]) // 2))
        inserted = _stamp(draw, 16 + 8 * (draw >> 32) % 240)
        before = max(0, min(len(out), at - offset))
        self.base.fill(file, offset, out[:before])
        first, last = max(offset, at), min(offset + len(out), at + len(inserted))
        if last > first:
            out[first - offset : last - offset] = inserted[first - at : last - at]
        rest = max(offset, at + len(inserted))
        if rest < offset + len(out):
            self.base.fill(file, rest - len(inserted), out[rest - offset :])

    def _fill_rebuilt(self, file: int, offset: int, out: Pages, draw: int) -> None:
        self.base.fill(file, offset, out)
        at = draw % max(1, min(PAGE_SIZE - _MARK_BYTES, int(self.index.sizes[file]) // 2))
        mark = _stamp(draw, _MARK_BYTES)
        start = offset // PAGE_SIZE // _MARK_EVERY * _MARK_EVERY
        for page in range(start, (offset + len(out)) // PAGE_SIZE + 1, _MARK_EVERY):
            first = max(offset, page * PAGE_SIZE + at)
            last = min(offset + len(out), page * PAGE_SIZE + at + _MARK_BYTES)
            if last > first:
                out[first - offset : last - offset] = mark[first - page * PAGE_SIZE - at :][: last - first]


def _stamp(draw: int, size: int) -> Pages:
    text = f"release {draw % 1000}.{draw >> 10 & 0xFF} build {draw:016x} "
    return np.resize(np.frombuffer(text.encode(), dtype=np.uint8), size)


def in_release(disk: Disk, variant: Variant) -> Disk:
    """The disk as that release of it; the disk itself if no file differs."""
    return VariantDisk(disk, variant) if variant.differs else disk
