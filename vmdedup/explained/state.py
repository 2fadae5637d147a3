"""All there is after a step: both trees, every page of the living, counters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vmdedup.explained.names import Names
from vmdedup.explained.trees import Trees
from vmdedup.host.layout import PRESENT
from vmdedup.host.space import Memory
from vmdedup.replay.mapped import Mapped


@dataclass(frozen=True, slots=True)
class Page:
    """kind: what it is mapped by, a letter as of replay.machine; content: its letter, "" where nothing is; frame."""

    kind: str
    content: str
    frame: int


@dataclass(frozen=True, slots=True)
class State:
    """pages: of each living process, by NAME:NUMBER. counters: as a script's `counters` prints them."""

    trees: Trees = field(default_factory=Trees)
    pages: Mapping[str, Page] = field(default_factory=dict)
    counters: Mapping[str, Any] = field(default_factory=dict)


class Pages:
    """The pages of all processes, looked at where they may have changed."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._entries: dict[int, Any] = {}  # of each address space, what its page table was
        self._kinds: dict[int, str] = {}
        self._living: set[str] = set()
        self.now: Mapping[str, Page] = {}

    def look(self, memories: Mapping[str, Memory], stored: bool) -> None:
        """stored: contents may have changed, too, not only what is mapped."""
        now = dict(self.now)
        if gone := self._living - memories.keys():
            now = {page: held for page, held in now.items() if page.rpartition(":")[0] not in gone}
        self._living = set(memories)
        for name, memory in memories.items():
            mapped = Mapped(memory)
            for number in self._changed(memory, mapped, stored):
                now[f"{name}:{number}"] = self._page(mapped, number, self._kinds[memory.mm][number])
        if now != self.now:
            self.now = now

    def _changed(self, memory: Memory, mapped: Mapped, stored: bool) -> Iterable[int]:
        before, kinds = self._entries.get(memory.mm), mapped.kinds(True)
        kinds_before = self._kinds.get(memory.mm, "")
        self._entries[memory.mm], self._kinds[memory.mm] = mapped.entries, kinds
        if stored or before is None or len(before) != len(mapped.entries):
            return range(len(mapped.entries))
        changed = mapped.entries != before
        changed |= np.frombuffer(kinds.encode(), np.uint8) != np.frombuffer(kinds_before.encode(), np.uint8)
        return [int(number) for number in np.flatnonzero(changed)]

    def _page(self, mapped: Mapped, number: int, kind: str) -> Page:
        if not mapped.entries[number] & PRESENT:
            return Page(kind, "", 0)
        frame = int(mapped.frames[number])
        return Page(kind, self._names.content(frame), frame)
