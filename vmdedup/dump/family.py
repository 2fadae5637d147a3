"""Several live processes as one system, a phone's or a browser's: what fork and files share is there once.

A page whose frame an earlier process has as well is left out, so what the zygote's children inherit is the zygote's,
until one of them stores to it. Regions are named "PID file|stack|memory NAME".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from vmdedup.dump.base import Block, Process, Region
from vmdedup.dump.pagemap import FILE, FRAMES, KIND, Words
from vmdedup.dump.process import ProcessDump
from vmdedup.dump.processes import PROCESS, ProcessesDump, parent_of
from vmdedup.errors import EnvironmentLacksError

STACK = "[stack]"


class FamilyDump(ProcessesDump):
    """Processes, parents first; closed with it. EnvironmentLacksError: the kernel hides frames."""

    def __init__(self, name: str, members: Sequence[ProcessDump]) -> None:
        super().__init__(name, members)
        words = self.frames()
        if words is None:
            raise EnvironmentLacksError(f"{name}: which frames processes share only root is told; run as root")
        _, first, which, copies = np.unique(words & FRAMES, return_index=True, return_inverse=True, return_counts=True)
        self._kept = np.zeros(len(words), np.bool_)
        self._kept[first] = True
        self.regions = [
            Region(f"{member.pid} {_word(region, is_file)} {region.name}", base + region.first, region.pages)
            for base, member in ((member.pid << PROCESS, member) for member in members)
            for region, is_file in zip(member.regions, member.are_files, strict=True)
        ]
        self.processes = self._look(words, self._kept & (copies[which] > 1))

    def _look(self, words: Words, shared: Words) -> dict[int, Process]:
        """What the system says of each. A zygote is a parent that has anonymous frames first which others have, too."""
        found, at = {}, 0
        parents = {parent_of(member.pid) for member in self.members}
        for member in self.members:
            mine = slice(at, at + member.present)
            at += member.present
            is_zygote = member.pid in parents and bool((shared[mine] & (words[mine] >> np.uint64(KIND) != FILE)).any())
            try:
                name, adjusted = (Path(f"/proc/{member.pid}/{file}").read_text() for file in ("comm", "oom_score_adj"))
            except OSError:
                name, adjusted = "", "0"  # it has ended meanwhile
            found[member.pid] = Process(name.strip(), int(adjusted), is_zygote)
        return found

    @property
    def present(self) -> int:
        """Frames."""
        return int(self._kept.sum())

    def blocks(self) -> Iterator[Block]:
        """One process after the other, without what an earlier one has."""
        before = at = 0
        for member in self.members:
            for block in member.blocks():
                kept = block.numbers[self._kept[at : at + len(block)]]
                at += len(block)
                if len(kept):
                    shifted = kept + (member.pid << PROCESS)
                    yield Block(before + block.region, shifted, partial(member.load, kept))
            before += len(member.regions)


def _word(region: Region, is_file: bool) -> str:
    return "stack" if region.name == STACK else "file" if is_file else "memory"
