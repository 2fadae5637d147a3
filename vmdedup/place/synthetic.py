"""A fleet that there never was, by a stated law: systems, applications, sizes, and what of it is the same in whom.

- A guest has one of the systems and one of the applications, the n-th with a weight of 1/n.
- Its memory is 1, 2, 4, 8 or 16 GiB with the chances SIZES; 50 to 95 % of it is in use, all shares alike likely.
- A system has FILES files, an application has some of its own, of which 30 % are the same on every system. The n-th
  file is in a guest's memory with a chance of min(1, n**-0.7 * 12): the most popular ones in all, few of the others.
  Sizes of files are log-normal; a guest has no more of them than 60 % of what it has in use, the popular ones first.
- 8 % of what is in use repeats what the guest has; the rest is its own.

A page here stands for `times` pages, so that terabytes can be drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vmdedup.guest.seeds import mix
from vmdedup.place.fleet import Guest
from vmdedup.units import GIB, PAGE_SIZE

SIZES: Final = {1: 0.35, 2: 0.30, 4: 0.20, 8: 0.10, 16: 0.05}  # GiB
FILES: Final = 300  # of a system
OWN_FILES: Final = 80  # of an application
ANYWHERE: Final = 0.3  # of these, files that are the same on every system
MEDIAN: Final = 512  # pages of a file
SIGMA: Final = 1.2
REPEATED, MOST_FILES = 0.08, 0.60  # of what is in use
_OWN: Final = 1 << 62  # contents of guests' own are numbered from here on


@dataclass(frozen=True)
class Law:
    """What is drawn. times: pages that one stands for."""

    guests: int = 1500
    systems: int = 4
    applications: int = 6
    seed: int = 1
    times: int = 64


def synthetic(law: Law) -> list[Guest]:
    """The guests, in an order in which they may have come."""
    rng = np.random.default_rng(law.seed)
    lengths = np.maximum(1, rng.lognormal(np.log(MEDIAN / law.times), SIGMA, _files(law)).astype(np.int64))
    made = []
    for number in range(law.guests):
        system, application = _nth(rng, law.systems), _nth(rng, law.applications)
        size = int(rng.choice(list(SIZES), p=list(SIZES.values())))
        used = int(rng.uniform(0.5, 0.95) * size * GIB / PAGE_SIZE / law.times)
        files = _chosen(rng, law, system, application, lengths, int(MOST_FILES * used))
        shared = [mix((file << 32) + np.arange(lengths[file], dtype=np.uint64)) for file in files.tolist()]
        own = max(1, used - int(REPEATED * used) - sum(map(len, shared)))
        words = [*shared, mix(np.uint64(_OWN + (number << 32)) + np.arange(own, dtype=np.uint64))]
        name = f"system{system}-app{application}-{number}"
        made.append(Guest(name, used * law.times, np.sort(np.concatenate(words)), "", law.times))
    return made


def _files(law: Law) -> int:
    """Files of all systems, and of all applications on each, and anywhere."""
    return law.systems * FILES + law.applications * OWN_FILES * (law.systems + 1)


def _nth(rng: np.random.Generator, count: int) -> int:
    weights = 1 / np.arange(1, count + 1)
    return int(rng.choice(count, p=weights / weights.sum()))


def _chosen(
    rng: np.random.Generator, law: Law, system: int, application: int, lengths: NDArray[np.int64], most: int
) -> NDArray[np.int64]:
    """Files that a guest has in memory, the popular ones first, no more than so many pages of them."""
    of_system = system * FILES + np.arange(FILES)
    rank = np.arange(OWN_FILES)
    there = np.where(rank % 10 < 10 * ANYWHERE, law.systems, system)  # which system's build it is
    of_application = law.systems * FILES + (application * (law.systems + 1) + there) * OWN_FILES + rank
    files = np.concatenate([of_system, of_application])
    chance = np.minimum(1, np.concatenate([np.arange(1, FILES + 1), rank + 1]) ** -0.7 * 12)
    files = files[np.argsort(-chance, kind="stable")]
    chance = np.sort(chance)[::-1]
    files = files[rng.random(len(files)) < chance]
    found: NDArray[np.int64] = files[np.cumsum(lengths[files]) <= most]
    return found
