"""XXH64 of pages that were read from elsewhere, by the same code that hashes an emulated host's frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vmdedup.host import census
from vmdedup.host.memory import Host
from vmdedup.live.memory.guest import BLOCK_PAGES


class PageHasher:
    """Holds a small host whose frames are hashed; close() it."""

    def __init__(self) -> None:
        self._scratch = Host.create(1, BLOCK_PAGES)

    def hashes(self, pages: NDArray[np.uint8]) -> NDArray[np.int64]:
        """XXH64 of each page as a signed word, int64 (n,). pages: uint8 (n, 4096), n at most BLOCK_PAGES."""
        arrays = self._scratch.arrays
        arrays.bytes[1 : len(pages) + 1] = pages
        counts = arrays.frames[: len(pages) + 1]
        counts[1:] = 1
        found = np.zeros(len(pages), np.int64)
        census.hash_frames(arrays._replace(frames=counts), found)
        return found

    def close(self) -> None:
        """Give its memory back."""
        self._scratch.close()
