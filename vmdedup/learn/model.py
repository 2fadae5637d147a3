"""A model of a kind of guest: all that is kept of the dumps it was learnt from. No page's content, unless asked for."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import UsageError
from vmdedup.learn.boot import ZERO, Boot, Contents
from vmdedup.learn.classes import CLASSES, LEVELS, without_single
from vmdedup.learn.forecast import Kind, kind_of
from vmdedup.learn.life import Life, common_life
from vmdedup.learn.sharing import MOST_BOOTS, sharing_of
from vmdedup.learn.variants import variants


@dataclass(frozen=True)
class Model:
    """seed: of the contents that guests share. kind: what forecasts are made from. boots: names and figures of each.

    layouts: by boot and place, int32: ABSENT, ZERO, or a number of a content from 1. slots, variants, levels, like: by
    content, see learn.variants and learn.classes. lives: by boot. pages: contents (n, 4096), if it has them.
    """

    seed: int
    kind: Kind
    boots: tuple[dict[str, Any], ...]
    layouts: NDArray[np.int32]
    slots: NDArray[np.int32]
    variants: NDArray[np.uint8]
    levels: NDArray[np.uint8]
    like: NDArray[np.int32]
    lives: tuple[Life | None, ...]
    pages: NDArray[np.uint8] | None = None

    @property
    def places(self) -> int:
        """Pages of a guest, absent ones among them."""
        return int(self.layouts.shape[1])

    @property
    def life(self) -> Life | None:
        """How guests change whose boot was not recorded."""
        return common_life(self.lives)

    def classes(self) -> dict[str, Any]:
        """Shares of a guest's memory, in per cent, that a report gives."""
        kind, contents = self.kind, max(1, len(self.levels) - 1)
        percent = 100 / max(1.0, kind.present)
        common = sum(kind.sharing.seen[number][-1] for number in range(len(CLASSES))) if kind.boots > 1 else None
        return {
            "zero_percent": kind.zero * percent,
            "within_percent": kind.within * percent,
            "in_all_percent": None if common is None else common * percent,
            "some_percent": None if common is None else self._some() * percent,
            "alone_percent": None if common is None else self._alone() * percent,
            "packed_percent": 100 * float(self.levels[1:].mean()) / LEVELS if contents > 1 else 0.0,
            "like_percent": 100 * float((self.like[1:] != 0).mean()) if contents > 1 else 0.0,
        }

    def _alone(self) -> float:
        return sum(seen[0] for seen in self.kind.sharing.seen) / self.kind.boots

    def _some(self) -> float:
        """Contents of a boot that are in another one, but not in all."""
        boots = self.kind.boots
        return (
            sum(n * count for seen in self.kind.sharing.seen for n, count in enumerate(seen, 1) if 1 < n < boots)
            / boots
        )


def learn(boots: Sequence[Boot], contents: Contents) -> Model:
    """The model of boots of one kind. UsageError: they are not of one size, or hold nothing."""
    if len(boots) > MOST_BOOTS:
        raise UsageError(f"{len(boots)} boots are more than can be learnt from; name at most {MOST_BOOTS}")
    pages = {boot.pages for boot in boots}
    if len(pages) > 1:
        sizes = ", ".join(f"{boot.name} has {boot.pages}" for boot in boots)
        raise UsageError(f"guests of one kind have as many pages each, but {sizes}; learn them apart")
    if not any(len(boot.held) for boot in boots):
        raise UsageError("there is nothing but zeros in it; name dumps of memory that was in use")
    boots, contents = _renumbered(boots, contents)
    sharing = sharing_of(boots, contents.classes)
    layouts = np.stack([boot.contents for boot in boots])
    seed = int.from_bytes(hashlib.blake2b(layouts.tobytes(), digest_size=8).digest(), "little")
    slots, of = variants(boots, contents.classes, sharing, _draws(seed, len(contents)))
    return Model(
        seed=seed,
        kind=kind_of(boots, sharing),
        boots=tuple(_described(boot) for boot in boots),
        layouts=layouts,
        slots=slots,
        variants=of,
        levels=contents.levels,
        like=contents.like,
        lives=tuple(boot.life for boot in boots),
        pages=contents.pages,
    )


def _draws(seed: int, count: int) -> NDArray[np.float64]:
    """So many numbers from 0 to below 1: the same for the same seed, whatever the machine and the version of NumPy."""
    drawn = hashlib.shake_128(f"variants {seed}".encode()).digest(8 * count)
    return (np.frombuffer(drawn, "<u8") >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _described(boot: Boot) -> dict[str, Any]:
    held = len(boot.held)
    return {
        "name": os.path.basename(boot.name),
        "format": boot.format,
        "present": boot.present,
        "zero": boot.zero,
        "distinct": held,
    }


def _renumbered(boots: Sequence[Boot], contents: Contents) -> tuple[list[Boot], Contents]:
    """The same without contents that none of these boots has, numbered from 1 on."""
    used = np.zeros(len(contents), np.bool_)
    used[ZERO] = True
    for boot in boots:
        used[boot.held] = True
    numbers = np.cumsum(used, dtype=np.int32) - np.int32(1)
    groups = without_single(_by_first(contents.like[used]))
    pages = None if contents.pages is None else contents.pages[used]
    kept = Contents(contents.classes[used], contents.levels[used], groups, pages)
    layouts = [np.where(boot.contents > ZERO, numbers[boot.contents], boot.contents) for boot in boots]
    made = [
        Boot(boot.name, boot.format, layout.astype(np.int32), boot.life)
        for boot, layout in zip(boots, layouts, strict=True)
    ]
    return made, kept


def _by_first(groups: NDArray[np.int32]) -> NDArray[np.int32]:
    """Groups numbered by their first member; 0 stays."""
    _, firsts, which = np.unique(groups, return_index=True, return_inverse=True)
    return np.where(groups > 0, firsts[which], 0).astype(np.int32)
