"""phases: allocate pages of one kind, read them, write a byte at 16 fixed offsets of each, free them; again.

The micro-benchmark of Gupta et al., Difference Engine, OSDI'08, section 5.3 (kinds of pages: zero, random,
identical, similar; 80 s between phases).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from vmdedup.guest.content import Pages, random_pages
from vmdedup.guest.index import Numbers
from vmdedup.guest.parameters import parameter, share
from vmdedup.guest.seeds import Words, keys, mix
from vmdedup.guest.workloads.base import PAGES_PER_MIB, SMALL_BOOT, Workload
from vmdedup.units import PAGE_SIZE

KINDS = ("zero", "random", "identical", "similar", "mixed")
WRITTEN_OFFSETS: tuple[int, ...] = tuple(range(128, PAGE_SIZE, 256))

_BATCH = 64


@dataclass(frozen=True)
class PhasesParameters:
    """Parameters of phases."""

    kind: str = parameter("mixed", "", "what the pages hold; mixed: a quarter of each", choices=KINDS)
    fill_share: float = share(0.6, "of memory that programs can still have, which is allocated")
    same_share: float = share(0.95, "bytes of a similar page that are as in the base page")
    run_bytes: int = parameter(1, "bytes", "of the others, so many together each time", low=1, high=PAGE_SIZE)
    base_bytes: int = parameter(
        PAGE_SIZE, "bytes", "random bytes that the base page repeats; 4096: none", low=1, high=PAGE_SIZE
    )
    between_guests: bool = parameter(True, "", "identical and similar pages have one base in all guests")
    mib_s: float = parameter(4.0, "MiB/s", "how fast pages are allocated, read and written", low=0.001)
    pause_s: float = parameter(10.0, "s", "rest after each phase (80 in the paper)")
    idle_s: float = parameter(0.0, "s", "more rest before pages are allocated again")


class Phases(Workload[PhasesParameters]):
    """Four phases in turn. phase: the one going on, or before the pause. rounds: complete ones so far."""

    name = "phases"
    Parameters = PhasesParameters
    boot = SMALL_BOOT

    def setup(self) -> None:
        """Begin with the allocation."""
        base_seed = self.shared if self.parameters.between_guests else self.stream.seed
        base = random_pages(keys(base_seed, [0]))
        self._base = np.resize(base[0, : self.parameters.base_bytes], (1, PAGE_SIZE))
        self.memory = self.kernel.anonymous(self._content)
        self.phase = "allocate"
        self.rounds = 0
        self._pause_ms = 0.0
        self._credit = 0.0
        self._plan = self._phases()

    def step(self, ms: float) -> None:
        """Go on for ms milliseconds, first with the pause, if there is one."""
        rest = min(ms, self._pause_ms)
        self._pause_ms -= rest
        self._credit += (ms - rest) * self.parameters.mib_s * PAGES_PER_MIB / 1000.0
        while self._credit > 0 and not self._pause_ms:
            self._credit -= next(self._plan)
        if self._pause_ms:
            self._credit = 0.0

    def verify(self) -> int:
        """Read back every page not written into."""
        return self.memory.verify()

    def _phases(self) -> Iterator[int]:
        actions: tuple[tuple[str, Callable[[Numbers], None]], ...] = (
            ("allocate", self._allocate),
            ("read", self.memory.touch),
            ("write", self._write),
            ("free", self._free),
        )
        pages = np.arange(self._filled())
        while True:
            for self.phase, act in actions:
                for start in range(0, len(pages), _BATCH):
                    act(pages[start : start + _BATCH])
                    yield len(pages[start : start + _BATCH])
                more = self.parameters.idle_s if self.phase == "free" else 0.0
                self._pause_ms = 1000.0 * (self.parameters.pause_s + more)
                yield 1
            self.rounds += 1

    def _filled(self) -> int:
        """Pages that are allocated: of memory, or on Linux of what programs can still have, as a real guest does."""
        share = self.parameters.fill_share
        kernel = self.kernel
        return self.pages(share) if kernel.spec.plain_pages else int(share * kernel.available())

    def _allocate(self, pages: Numbers) -> None:
        self.kernel.grow(self.memory, self.fresh_keys(len(pages)))

    def _write(self, pages: Numbers) -> None:
        for offset in WRITTEN_OFFSETS:
            value = self.fresh_keys(len(pages)).view(np.uint8)[::8]
            self.memory.poke(pages, np.full(len(pages), offset), value.reshape(-1, 1))

    def _free(self, pages: Numbers) -> None:
        self.kernel.physical.release(self.memory.shrink(len(pages)))

    def _content(self, content_keys: Words) -> Pages:
        if self.parameters.kind != "mixed":
            return self._of_kind(self.parameters.kind, content_keys)
        out = np.empty((len(content_keys), PAGE_SIZE), dtype=np.uint8)
        drawn = (content_keys >> np.uint64(32)) % np.uint64(4)
        for number, kind in enumerate(KINDS[:4]):
            chosen = drawn == number
            out[chosen] = self._of_kind(kind, content_keys[chosen])
        return out

    def _of_kind(self, kind: str, content_keys: Words) -> Pages:
        if kind == "zero":
            return np.zeros((len(content_keys), PAGE_SIZE), dtype=np.uint8)
        if kind == "random":
            return random_pages(content_keys)
        out = np.repeat(self._base, len(content_keys), axis=0)
        return out if kind == "identical" else self._changed(out, content_keys)

    def _changed(self, out: Pages, content_keys: Words) -> Pages:
        """Each run of bytes differs from the base's with the probability that the stated share leaves."""
        noise = np.concatenate((random_pages(content_keys), random_pages(mix(content_keys))), axis=1)
        drawn = noise.view(np.uint16)
        run = self.parameters.run_bytes
        changed = drawn[:, ::run] < (1.0 - self.parameters.same_share) * (1 << 16)
        changed = np.repeat(changed, run, axis=1)[:, :PAGE_SIZE]
        return out ^ np.where(changed, (drawn & 0xFF).astype(np.uint8) | 1, 0).astype(np.uint8)
