"""Difference Engine's steps, each done by itself on real pages and timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vmdedup.host.layout import COMPRESSED, PATCHED
from vmdedup.host.memory import Host
from vmdedup.host.rebuild import kind_of_all
from vmdedup.host.space import Memory
from vmdedup.policy.difference_engine.clock import state_now
from vmdedup.policy.difference_engine.packing import IdlePacking
from vmdedup.policy.difference_engine.policy import DifferenceEngine
from vmdedup.policy.difference_engine.records import C4, COMPRESS, PATCH, SHARED_NOW, Records, make_records
from vmdedup.policy.difference_engine.swapping import Swap
from vmdedup.policy.difference_engine.visit import visit_pages
from vmdedup.policy.work import Work
from vmdedup.subpage.compression import CODECS, compress, decompress
from vmdedup.subpage.delta import patch, unpatch
from vmdedup.subpage.detector import HashSimilarityDetector

BATCH: Final = 64  # pages of which one time is taken where a single one is too quick
WARM: Final = 2  # first times of each operation that are dropped: code is loaded in them
Pages = NDArray[np.uint8]


class Workbench:
    """One guest, and contents for its pages: uint8[n, 4096], none of them zero or twice there, n at least 4 * BATCH.

    Times are microseconds of CPU for one page, of each time that was taken.
    """

    def __init__(self, pages: Pages) -> None:
        self._count = len(pages) // BATCH * BATCH
        self._pages = pages[: self._count]
        self.host = Host.create(self._count, swap=True)
        self._guest: Memory = self.host.add(self._count)
        self._first = int(self.host.arrays.mms[self._guest.mm]["first"])
        self._knobs = {name: tunable.default for name, tunable in DifferenceEngine.all_tunables().items()}
        self._knobs |= {"hash_intervals": 1, "patching": 0, "compression": 0}
        self._packing = IdlePacking(self.host, self._knobs, Work())

    def close(self) -> None:
        """Let go of the memory."""
        self.host.close()

    # Sharing

    def share_and_break(self) -> tuple[list[float], list[float]]:
        """A visit that finds an equal page and shares it; a store of one byte to a page that is shared."""
        shares, breaks = [], []
        here = np.arange(BATCH)
        zeros, ones = np.zeros(BATCH, np.int64), np.ones((BATCH, 1), np.uint8)
        for rows in self._batches():
            self._put(here, rows)
            self._put(here + BATCH, rows)
            records = self._records()
            visit_pages(self.host.arrays, records, self._first, BATCH)
            shares.append(_timed(visit_pages, self.host.arrays, records, self._first + BATCH, BATCH) / BATCH)
            assert records.found[SHARED_NOW] == BATCH
            breaks.append(_timed(self._guest.write_bytes, here + BATCH, zeros, ones) / BATCH)
        return shares[WARM:], breaks[WARM:]

    # Patches and compressed pages

    def patch_and_unpatch(self) -> tuple[list[float], list[float]]:
        """Taking a page, making its patch against a similar one, storing that; reading the page again."""
        rows = [(page, PATCH, reference) for reference, page in self._pairs()]
        return self._pack(rows, PATCHED)

    def compress_and_uncompress(self) -> tuple[list[float], list[float]]:
        """Taking a page, compressing it, storing that; reading the page again."""
        return self._pack([(page, COMPRESS, 0) for page in range(self._count)], COMPRESSED)

    def _pack(self, rows: list[tuple[int, int, int]], kind: int) -> tuple[list[float], list[float]]:
        """Pages that are not worth it, in this form, are left out."""
        self._put(np.arange(self._count), self._pages)
        packs, unpacks = [], []
        records = self._records()
        for page, action, reference in rows:
            entry = self._first + page
            candidates = 1 if action == PATCH else 0
            records.todo[0, :3] = entry, action | candidates << 8, self._first + reference
            spent = _timed(self._packing.run, records, 1)
            if kind_of_all(self.host.arrays.pte[entry : entry + 1])[0] == kind:
                packs.append(spent)
                unpacks.append(_timed(self._guest.touch, np.array([page])))
                state_now(self.host.arrays, entry)
        return packs[WARM:], unpacks[WARM:]

    def _pairs(self) -> list[tuple[int, int]]:
        """Pages that the detector takes to be alike: the one seen first, and each later one."""
        detector = HashSimilarityDetector()
        pairs = []
        for page, own in enumerate(detector.signatures(self._pages)):
            found = detector.candidates(own)
            if found:
                pairs.append((found[0], page))
            else:
                detector.remember(page, own)
        return pairs

    # Swap

    def swap_out_and_in(self) -> tuple[list[float], list[float]]:
        """Putting an idle page into the swap area, which is memory here; reading it again."""
        outs, ins = [], []
        here = np.arange(BATCH)
        swap = Swap(self.host, self._knobs | {"swap_high": 1, "swap_low": 0}, self._packing, Work())
        self._put(np.arange(self._count), self._pages)  # so that the mark is passed
        for rows in self._batches():
            self._put(here, rows)
            records = self._records()
            records.state[self._first + here] = C4
            before = swap.out
            outs.append(_timed(swap.balance, records) / BATCH)
            assert swap.out == before + BATCH
            ins.append(_timed(self._guest.touch, here) / BATCH)
        return outs[WARM:], ins[WARM:]

    def _batches(self) -> Iterator[Pages]:
        for start in range(0, self._count, BATCH):
            yield self._pages[start : start + BATCH]

    def _put(self, numbers: NDArray[np.int64], rows: Pages) -> None:
        """Store pages, and let the clock see them: nobody has used them since."""
        self._guest.write_pages(numbers, rows)
        for entry in (self._first + numbers).tolist():
            state_now(self.host.arrays, entry)

    def _records(self) -> Records:
        return make_records(self.host, self._knobs, 0)

    def all_steps(self) -> dict[str, list[float]]:
        """Times of each operation of the paper's table 2, by its name there."""
        shares, breaks = self.share_and_break()
        patches, unpatches = self.patch_and_unpatch()
        packs, unpacks = self.compress_and_uncompress()
        outs, ins = self.swap_out_and_in()
        return {
            "share_page": shares,
            "cow_break": breaks,
            "compress": packs,
            "uncompress": unpacks,
            "patch_page": patches,
            "unpatch": unpatches,
            "swap_out": outs,
            "swap_in": ins,
        }

    # The libraries alone

    def libraries(self) -> dict[str, float]:
        """Median time of what the codecs do alone, on the same pages."""
        codec = CODECS[self._knobs["codec"]]
        rows = [row.tobytes() for row in self._pages]
        patches = [_took(patch, rows[reference], rows[page]) for reference, page in self._pairs()]
        packed = [_took(compress, row, codec) for row in rows]
        unpatched = [_timed(unpatch, rows[pair[0]], got) for pair, (got, _) in zip(self._pairs(), patches, strict=True)]
        return {
            "patch_page": median(spent for _, spent in patches),
            "unpatch": median(unpatched),
            "compress": median(spent for _, spent in packed),
            "uncompress": median(_timed(decompress, got, codec) for got, _ in packed),
        }


def _took(step: Callable[..., bytes], *arguments: Any) -> tuple[bytes, float]:
    """What a step gives, and the microseconds of CPU that it takes; what else the machine does is not in it."""
    before = time.thread_time_ns()
    got = step(*arguments)
    return got, (time.thread_time_ns() - before) / 1000


def _timed(step: Callable[..., Any], *arguments: Any) -> float:
    """Microseconds that a step takes."""
    return _took(step, *arguments)[1]
