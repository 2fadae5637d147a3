"""stress: writes as fast as it can, reads back, and knows what every byte has to be.

For each page it keeps the key of the last whole-page content and the small stores since then, at most four;
from these the page can be made again. Contents come from a small pool that all guests share, so that pages
merge, are written, and merge again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import GuestError
from vmdedup.guest.content import Pages, random_pages
from vmdedup.guest.forms import Rows
from vmdedup.guest.index import Numbers
from vmdedup.guest.parameters import parameter, share
from vmdedup.guest.seeds import Words, below, keys
from vmdedup.guest.workloads.base import SMALL_BOOT, Budget, Workload
from vmdedup.host.fingerprints import altered, changes, fingerprints
from vmdedup.units import PAGE_SIZE

_BATCH = 128
_BURST = 256
_LOG = 4
_RUN = 8


@dataclass(frozen=True)
class StressParameters:
    """Parameters of stress."""

    memory_share: float = share(0.5, "of memory that is written")
    stores_s: float = parameter(20_000.0, "1/s", "stores in virtual time; running free it does all it can")
    whole_share: float = share(0.4, "stores of a whole page; the others are of 8 bytes at any offset")
    alike_share: float = share(0.8, "whole pages with a content from the pool; the others are unlike any")
    pool: int = parameter(64, "", "contents in the pool, the same in all guests; one is all zero", low=1)
    discard_share: float = share(0.02, "stores replaced by giving the page back; it reads as zeros then")
    verify_share: float = share(0.25, "pages read back for each page stored")


class Stress(Workload[StressParameters]):
    """verified: pages read back and found right."""

    name = "stress"
    Parameters = StressParameters
    boot = SMALL_BOOT
    eager = True

    def setup(self) -> None:
        """Take the memory, filled with zeros."""
        count = max(1, self.pages(self.parameters.memory_share))
        self._keys: NDArray[np.uint64] = np.zeros(count, dtype=np.uint64)
        memory = self.kernel.anonymous(_zeros)
        self.kernel.grow(memory, self._keys)
        self._frames = memory.frames
        self._logged: NDArray[np.int64] = np.zeros(count, dtype=np.int64)
        self._places: NDArray[np.int64] = np.zeros((count, _LOG), dtype=np.int64)
        self._runs: NDArray[np.uint64] = np.zeros((count, _LOG), dtype=np.uint64)
        self._pool = keys(self.shared, np.arange(self.parameters.pool))
        self._pool[0] = 0
        self._stores = Budget(self.parameters.stores_s)
        self.verified = 0

    def step(self, ms: float) -> None:
        """Store and read back, batch by batch."""
        due = self._stores.due(ms)
        for start in range(0, due, _BATCH):
            self._batch(min(_BATCH, due - start))

    def burst(self) -> None:
        """One batch, whatever the time."""
        self._batch(_BURST)

    def verify(self) -> int:
        """Read back all of the memory."""
        for start in range(0, len(self._frames), _BATCH):
            self._check(np.arange(start, min(start + _BATCH, len(self._frames))))
        return len(self._frames)

    def _batch(self, count: int) -> None:
        which = np.unique(self.stream.integers(count, len(self._frames)))
        given = self.parameters
        kind = self.stream.uniform(len(which))
        discarded = kind < given.discard_share
        whole = (kind < given.discard_share + given.whole_share) | (self._logged[which] == _LOG)
        self._discard(which[discarded])
        self._store_whole(which[whole & ~discarded])
        self._store_some(which[~whole & ~discarded])
        reads = round(given.verify_share * count)
        self._check(np.unique(self.stream.integers(reads, len(self._frames))))

    def _discard(self, which: Numbers) -> None:
        self.kernel.memory.discard(self._frames[which])
        self._keys[which] = 0
        self._logged[which] = 0

    def _store_whole(self, which: Numbers) -> None:
        pooled = self._pool[self.stream.integers(len(which), len(self._pool))]
        alike = below(self.stream.words(len(which)), self.parameters.alike_share)
        self._keys[which] = np.where(alike, pooled, self.fresh_keys(len(which)))
        self._logged[which] = 0
        self.kernel.memory.write_pages(self._frames[which], self._expected(which))

    def _store_some(self, which: Numbers) -> None:
        places = self.stream.integers(len(which), PAGE_SIZE - _RUN + 1)
        runs = self.stream.words(len(which))
        slot = self._logged[which]
        self._places[which, slot] = places
        self._runs[which, slot] = runs
        self._logged[which] += 1
        self.kernel.memory.write_bytes(self._frames[which], places, runs.view(np.uint8).reshape(-1, _RUN))

    def _expected(self, which: Numbers) -> Pages:
        out = random_pages(self._keys[which])
        out[self._keys[which] == 0] = 0
        for slot in range(_LOG):
            rows = np.flatnonzero(self._logged[which] > slot)
            places = self._places[which[rows], slot][:, None] + np.arange(_RUN)
            out[rows[:, None], places] = self._runs[which[rows], slot].view(np.uint8).reshape(-1, _RUN)
        return out

    def _expected_fingerprints(self, which: Numbers) -> Rows:
        """What pages stand for after the same stores."""
        whole = random_pages(self._keys[which])
        whole[self._keys[which] == 0] = 0
        out = fingerprints(whole)
        for slot in range(_LOG):
            rows = np.flatnonzero(self._logged[which] > slot)
            runs = self._runs[which[rows], slot].view(np.uint8).reshape(-1, _RUN)
            out[rows] = altered(out[rows], changes(self._places[which[rows], slot].astype(np.int64), runs))
        return out

    def _check(self, which: Numbers) -> None:
        has_fingerprints = self.kernel.memory.has_fingerprints
        expected = self._expected_fingerprints(which) if has_fingerprints else self._expected(which)
        read = self.kernel.memory.read_pages(self._frames[which])
        self.verified += len(which)
        if np.array_equal(read, expected):
            return
        row, offset = (int(n[0]) for n in np.nonzero(read != expected))
        raise GuestError(
            f"guest {self.kernel.spec.name!r} read {read[row, offset]:#04x} at byte {offset} of page "
            f"{int(self._frames[which[row]])}, where it last wrote {expected[row, offset]:#04x}"
        )


def _zeros(content_keys: Words) -> Pages:
    return np.zeros((len(content_keys), PAGE_SIZE), dtype=np.uint8)
