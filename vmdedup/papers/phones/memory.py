"""What a phone's memory holds, read page by page: how much of apps and services is identical or similar."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vmdedup.guest.diskspec import DiskSpec
from vmdedup.guest.spec import GuestSpec
from vmdedup.host.layout import ANONYMOUS, PRESENT, UNKNOWN
from vmdedup.papers.bench.guests import options_of_the_time
from vmdedup.papers.bench.memories import lived
from vmdedup.units import PAGE_SIZE

SAMPLED: Final = 400  # pages of apps that are held against every page of the zygote
ALIKE_WORDS: Final = 51  # a similar page differs in at most so many words of 8 bytes: a tenth

Pages = NDArray[np.uint8]


@dataclass(frozen=True)
class Shares:
    """Per cent of pages. identical: of apps' heaps, stacks and graphics, with another page of the phone. zero: of
    these, all zero. services: the same of services. similar: pages of apps that are like one of the zygote.
    """

    identical: float
    zero: float
    services: float
    similar: float


def phone_shares(mib: int, seconds: int, disk: DiskSpec, parameters: Mapping[str, Any], seed: int = 1) -> Shares:
    """Shares in the memory of a phone after so many seconds of use."""
    options = {"workload": "phone", "parameters": parameters, "kernel_mib": 2, "seed": seed}
    spec = GuestSpec("phone", mib * 256, disk=disk, **options_of_the_time(options))
    with lived(spec, seconds) as memory:
        touched = np.flatnonzero(memory.entries & PRESENT)
        pages = np.zeros((memory.pages, PAGE_SIZE), np.uint8)
        pages[touched] = memory.read_pages(touched)
        return _shares(pages, touched, memory.host.arrays.areas[memory.mm])


def _shares(pages: Pages, touched: NDArray[np.int64], areas: NDArray[Any]) -> Shares:
    names = {page: hashlib.blake2b(pages[page], digest_size=16).digest() for page in touched.tolist()}
    often = Counter(names.values())
    said = areas[areas["pages"] > 0]
    apps = _of(said[(said["owner"] > 0) & (said["state"] != UNKNOWN)], names)
    services = _of(said[(said["owner"] > 0) & (said["state"] == UNKNOWN)], names)
    zygote = _of(said[(said["owner"] == 0) & (said["kind"] == ANONYMOUS)], names)
    twice = [page for page in apps if often[names[page]] > 1]
    alone = np.array([page for page in apps if often[names[page]] == 1])
    drawn = np.random.default_rng(1).choice(alone, min(SAMPLED, len(alone)), replace=False)
    like = _similar(pages[drawn], pages[zygote]) / max(1, len(drawn)) * len(alone)
    return Shares(
        identical=_percent(len(twice), len(apps)),
        zero=_percent(sum(not pages[page].any() for page in twice), len(twice)),
        services=_percent(sum(often[names[page]] > 1 for page in services), len(services)),
        similar=_percent(like, len(apps)),
    )


def _of(areas: NDArray[Any], touched: Mapping[int, bytes]) -> list[int]:
    """Touched pages of these areas."""
    runs = [range(int(area["first"]), int(area["first"] + area["pages"])) for area in areas]
    return [page for run in runs for page in run if page in touched]


def _similar(pages: Pages, bases: Pages) -> int:
    """How many of the pages differ from some base in few words."""
    against = bases.view(np.uint64)
    return sum(int((against != page).sum(axis=1).min()) <= ALIKE_WORDS for page in pages.view(np.uint64))


def _percent(part: float, whole: int) -> float:
    return 100 * part / max(1, whole)
