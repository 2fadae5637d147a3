"""A host with XLH in this process, for tests that say in a few lines what happens on it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vmdedup.host.memory import Host
from vmdedup.host.space import Memory
from vmdedup.policy.xlh import layout
from vmdedup.policy.xlh.policy import Xlh

VARIANTS = (layout.READ_WRITE, layout.READ_ONLY, layout.HASH_TABLE)


class XlhHost:
    """A host with the policy, runs of 10 pages, and guests whose pages hold one number each (0: zeros)."""

    def __init__(self, pages: int = 1024, nodes: int = 1, **knobs: int) -> None:
        self.host = Host.create(pages, mms=8, nodes=nodes)
        self.policy = Xlh(self.host)
        for knob, value in {"smart_scan": 0, "pages_to_scan": 10, **knobs}.items():
            self.policy.set(knob, str(value))

    def guest(self, *contents: int, node: int = 0, entered: bool = True) -> Memory:
        memory = self.host.add(len(contents), "g", node)
        self.fill(memory, 0, *contents)
        if entered:
            self.policy.enter(memory.mm)
        return memory

    def fill(self, memory: Memory, first: int, *contents: int) -> None:
        rows = np.zeros((len(contents), 512), np.int64)
        rows[:] = np.array(contents)[:, np.newaxis]
        memory.write_pages(np.arange(first, first + len(contents)), rows.view(np.uint8))

    def hinted(self, memory: Memory, *pages: int) -> None:
        """Serve these hints, and no more than these."""
        memory.hint(np.array(pages))
        for _ in range(len(pages)):
            self.policy._hinted._turns[:] = 0
            assert self.policy.scan(1) == 1
        self.policy.check()

    def get(self, name: str) -> int:
        return self.policy.counters()[name]

    def close(self) -> None:
        self.host.close()


Make = Callable[..., XlhHost]
