"""One policy that scans an image again and again, and how fast it is in each phase of that."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from benchmarks.images import Image
from vmdedup.host.memory import Host
from vmdedup.policy.base import Policy
from vmdedup.policy.table import POLICIES, load_policy

# Passes over all memory: the first; those in which most is shared or packed; those after which little changes.
PHASES: Final[Mapping[str, int]] = {"first": 1, "settling": 7, "steady": 5}
STEP_MS: Final = 4000  # of the policy's clock from pass to pass: the longest that any of them waits for
MiB: Final = 256  # pages
_UNLIMITED: Final = {"host_pages_per_second": 0, "vm_pages_per_second": 0}  # of esx
_EVERY_PAGE: Final = {"smart_scan": 0}  # KSM looks at no page less
Rates = dict[str, float]


@dataclass(frozen=True)
class Row:
    """A policy with tunables. label: what it is called in tables."""

    label: str
    policy: str
    knobs: Mapping[str, int] = field(default_factory=dict)


_SHARING_ONLY = (
    Row("difference_engine, sharing only", "difference_engine", {"patching": 0, "compression": 0}),
    Row("background, sharing only", "background", {"difference_cut_off": 0, "compress_cut_off": 0}),
)
KSM: Final = Row("ksm", "ksm")
ROWS: Final = (*(Row(name, name) for name in POLICIES if name != "ksm"), *_SHARING_ONLY)


class Scanning:
    """An image in a host of its own, and a policy that scans it in batches. pages: of a pass."""

    def __init__(self, image: Image, row: Row, batch: int) -> None:
        total = sum(len(rows) for rows in image.guests)
        self.host = Host.create(total + MiB, mms=len(image.guests) + 2, swap=True)
        self.pages, self._batch = image.pages, batch
        for number, rows in enumerate(image.guests):
            memory = self.host.add(len(rows), f"g{number}", domain=1 + number % 2)
            kept = np.arange(len(rows))
            if number == 0 and image.untouched is not None:
                kept = np.setdiff1d(kept, image.untouched)
            memory.write_pages(kept, rows[kept])
            if number == 0 and image.areas is not None:
                self.host.arrays.areas[memory.mm] = image.areas
            self._stored = (memory, int(kept[0]), bytes(rows[kept[0], :1]))
        self.policy = self._attach(row)

    def _attach(self, row: Row) -> Policy:
        policy = load_policy(row.policy)(self.host, 0)
        for knob, value in {**_UNLIMITED, **_EVERY_PAGE, **row.knobs}.items():
            if knob in policy.all_tunables():
                policy.set(knob, str(value))
        for memory in self.host.live():
            policy.enter(memory.mm)
        return policy

    def scan(self) -> tuple[int, float]:
        """One pass. Returns pages that the policy says it looked at, and seconds of CPU time.

        One byte is stored before, as it was: `ideal` looks at nothing where nobody stores.
        """
        memory, page, byte = self._stored
        memory.write(page, byte)
        self.policy.charge(self.policy.now_ms + STEP_MS, 0)
        looked, start = 0, time.process_time()
        while looked < self.pages and (part := self.policy.scan(min(self._batch, self.pages - looked))):
            looked += part
        return looked, time.process_time() - start


@contextmanager
def scanning(image: Image, row: Row, batch: int) -> Iterator[Scanning]:
    """A policy with an image to scan, for a while."""
    made = Scanning(image, row, batch)
    try:
        yield made
    finally:
        made.host.close()


def rates(image: Image, row: Row, batch: int) -> Rates:
    """Pages a second in each phase; 0 where it looks at nothing."""
    with scanning(image, row, batch) as made:
        found = {}
        for phase, passes in PHASES.items():
            done = [made.scan() for _ in range(passes)]
            looked = sum(pages for pages, _ in done)
            found[phase] = looked / sum(seconds for _, seconds in done) if looked else 0.0
        return found
