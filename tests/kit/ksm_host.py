"""A host with a ksmd in this process, for tests that say in a few lines what happens on it."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import numpy as np

from vmdedup.host.layout import FRAME_SHIFT
from vmdedup.host.memory import Host
from vmdedup.host.space import Memory
from vmdedup.ksm.ksmd import Ksmd

Four = tuple[int, int, int, int]


class KsmHost:
    """run=1 and smart_scan=0, as scripts start. A page's content is a number from 0 (all zeros) to 255."""

    def __init__(self, pages: int = 64, nodes: int = 1, frames: int | None = None, **knobs: int | str) -> None:
        self.host = Host.create(pages=pages, mms=16, nodes=nodes, frames=frames)
        self.ksmd = Ksmd(self.host)
        for knob, value in {"run": 1, "smart_scan": 0, **knobs}.items():
            self.ksmd.set(knob, str(value))

    def guest(self, *contents: int, node: int = 0) -> Memory:
        """A guest with a page for each content, all of it mergeable."""
        memory = self.host.add(len(contents), f"guest {len(list(self.host.live()))}", node)
        self.ksmd.enter(memory.mm)
        self.fill(memory, range(len(contents)), contents)
        return memory

    def fill(self, memory: Memory, pages: range, contents: tuple[int, ...]) -> None:
        """Store whole pages."""
        data = np.repeat(np.array(contents, np.uint8)[:, np.newaxis], 4096, axis=1)
        memory.write_pages(np.array(pages), data)

    def fork(self, memory: Memory) -> Memory:
        """A child of a guest that is on ksmd's list."""
        child = memory.fork("child")
        self.ksmd.enter(child.mm)
        return child

    def exit(self, memory: Memory) -> None:
        """A guest ends."""
        memory.exit()
        self.ksmd.exit(memory.mm)

    def scans(self, times: int = 1) -> Four:
        """So many full scans; then see four()."""
        for _ in range(times):
            self.ksmd.full_scan()
        return self.four()

    def steps(self, *batches: int) -> list[Four]:
        """four() after each batch of so many pages."""
        return [(self.ksmd.scan(pages), self.four())[1] for pages in batches]

    def four(self) -> Four:
        """pages_shared, pages_sharing, pages_unshared, pages_volatile."""
        counters = self.ksmd.counters()
        shared, sharing = counters["pages_shared"], counters["pages_sharing"]
        return shared, sharing, counters["pages_unshared"], counters["pages_volatile"]

    def get(self, counter: str) -> int:
        """A counter."""
        return self.ksmd.counters()[counter]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Everything must be consistent; then the memory is given back."""
        if error is None:
            self.host.check()
            self.ksmd.check()
        self.host.close()


def frames_of(memory: Memory) -> list[int]:
    """The frame of each page."""
    return [int(entry) >> FRAME_SHIFT for entry in memory.entries]
