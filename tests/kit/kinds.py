"""Kinds of guests whose boots are known content by content."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmdedup.units import PAGE_SIZE

ADDRESS = 0xFFFF_8881_0000_0000  # where a kernel maps its memory


@dataclass(frozen=True)
class KnownKind:
    """Pages of a boot: common to all, its own (with addresses), drawn at random from files, zeros, repeated ones."""

    common: int = 120
    own: int = 60
    drawn: int = 40
    files: int = 80
    zero: int = 20
    repeated: int = 16
    seed: int = 0

    @property
    def pages(self) -> int:
        return self.common + self.own + self.drawn + self.zero + self.repeated

    def boot(self, number: int) -> NDArray[np.uint8]:
        """The memory (pages, 4096) of the boot of a number; common and repeated pages have the same place in each."""
        rng = np.random.default_rng((self.seed, number, 1))
        pages = np.zeros((self.pages, PAGE_SIZE // 8), np.uint64)
        pages[: self.common] = _texts(np.arange(self.common), self.seed)
        after = self.common + self.repeated
        pages[self.common : after] = _texts(np.array([10_000]), self.seed)
        moving = np.zeros((self.own + self.drawn + self.zero, PAGE_SIZE // 8), np.uint64)
        moving[: self.own] = rng.integers(0, 1 << 20, (self.own, 1), np.uint64)
        moving[: self.own, 8:16] = ADDRESS + rng.integers(0, 1 << 30, (self.own, 8), np.uint64)
        files = rng.choice(self.files, self.drawn, replace=False)
        moving[self.own : self.own + self.drawn] = _texts(20_000 + files, self.seed)
        pages[after:] = moving[rng.permutation(len(moving))]
        return pages.view(np.uint8)

    def write(self, folder: Path, *numbers: int) -> list[str]:
        """Raw dumps of these boots."""
        paths = []
        for number in numbers:
            paths.append(str(folder / f"{self.seed}-{number}.raw"))
            Path(paths[-1]).write_bytes(self.boot(number).tobytes())
        return paths


def _texts(numbers: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """A page of text for each number: 26 letters at random, in its first half."""
    made = np.zeros((len(numbers), PAGE_SIZE), np.uint8)
    for row, number in enumerate(numbers.tolist()):
        made[row, : PAGE_SIZE // 2] = np.random.default_rng((seed, number)).integers(97, 123, PAGE_SIZE // 2)
    return made.view(np.uint64)
