"""A small host with guests whose contents are known, and one policy at work on it: for trying policies out."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from vmdedup.host.memory import Host
from vmdedup.host.space import Memory
from vmdedup.policy.base import Policy

PAGES: Final = 64
GUESTS: Final = 3
Pages = NDArray[np.uint8]


class Bench:
    """GUESTS guests of PAGES pages: zeros, one word, a few common pages, pages like them, text, noise.

    seed: of the policy and of all that guests do.
    """

    def __init__(self, kind: type[Policy], seed: int) -> None:
        self.host = Host.create(GUESTS * PAGES, mms=GUESTS + 2, swap=True)
        self._random = np.random.default_rng(seed)
        self._common = self._noise(6)
        self._kind = kind
        self.policy = kind(self.host, seed)
        self.guests: list[Memory] = []
        self.known: list[Pages] = []
        for number in range(GUESTS):
            self._admit(f"g{number}")

    def _admit(self, name: str) -> None:
        memory, rows = self.host.add(PAGES, name), self._contents(PAGES)
        memory.write_pages(np.arange(PAGES), rows)
        memory.hint(np.arange(0, PAGES, 5))
        self.policy.enter(memory.mm)
        self.guests.append(memory)
        self.known.append(rows)

    def _noise(self, count: int) -> Pages:
        return self._random.integers(0, 256, (count, self.host.page_size), dtype=np.uint8)

    def _contents(self, count: int) -> Pages:
        kinds = self._random.integers(0, 6, count)[:, np.newaxis]
        common = self._common[self._random.integers(0, len(self._common), count)]
        alike = common.copy()
        alike[np.arange(count), self._random.integers(0, self.host.page_size, count)] ^= 1
        text = self._random.integers(97, 101, common.shape, dtype=np.uint8)
        choices = [np.zeros_like(common), np.full_like(common, 0x55), common, alike, text]
        return np.select([kinds == kind for kind in range(5)], choices, self._noise(count))

    def live(self) -> None:
        """Each guest stores whole pages and single bytes, discards a page, and reads some."""
        for memory, rows in zip(self.guests, self.known, strict=True):
            whole = self._random.choice(PAGES, 4, replace=False)
            rows[whole] = self._contents(4)
            memory.write_pages(whole, rows[whole])
            memory.hint(whole)
            for page in self._random.choice(PAGES, 3, replace=False).tolist():
                rows[page, 17] ^= 255
                memory.write(page, bytes([rows[page, 17]]), 17)
            gone = int(self._random.integers(PAGES))
            rows[gone] = 0
            memory.discard(np.array([gone]))
            memory.touch(self._random.choice(PAGES, 5, replace=False))

    def work(self, batches: int = 6, pages: int = 48) -> None:
        """Let the policy scan, its clock going on."""
        for _ in range(batches):
            self.policy.charge(self.policy.now_ms + 100, 0)
            self.policy.scan(pages)

    def wrong(self) -> int:
        """Pages that a guest reads otherwise than it stored them."""
        pages = np.arange(PAGES)
        pairs = zip(self.guests, self.known, strict=True)
        return sum(int((memory.read_pages(pages) != rows).any(axis=1).sum()) for memory, rows in pairs)

    def replace(self, number: int) -> None:
        """A guest ends, and a new one comes, whose address space may be the old one's."""
        old = self.guests.pop(number)
        del self.known[number]
        old.exit()
        self.policy.exit(old.mm)
        self._admit("new")

    def take_over(self, seed: int) -> None:
        """A new policy in the place of the old one, which was told nothing: as after it was killed."""
        self.host.recover()
        self.policy = self._kind(self.host, seed)
        for memory in self.guests:
            self.policy.enter(memory.mm)

    def leave(self) -> None:
        """Every guest ends, and the policy lets go of what it holds."""
        for memory in self.guests:
            memory.exit()
            self.policy.exit(memory.mm)
        self.work(12)
        self.policy.detach()

    def saved(self) -> int:
        """Pages with content of their own, less the frames that they take."""
        return int(self.host.allocated()[0].sum()) - self.host.frames_in_use()

    def possible(self) -> int:
        """What saved would be if every content were kept once, zeros not at all."""
        contents = {row.tobytes() for rows in self.known for row in rows if row.any()}
        return int(self.host.allocated()[0].sum()) - len(contents)
