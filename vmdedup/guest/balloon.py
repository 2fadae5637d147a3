"""The balloon: pages that the guest's kernel has taken for itself, so that the host can have them.

The host says how much memory the guest is to be left with. The guest takes free pages, and drops page cache for more,
256 at a time, and gives each back to the host; where it finds none it tries again after 200 ms. With deflate_on_oom a
guest that would run out of memory takes pages back, 256 at a time; they stay out until the host says something else.
Source: drivers/virtio/virtio_balloon.c:fill_balloon, virtio_balloon_oom_notify.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from vmdedup.guest.index import Numbers
from vmdedup.guest.spec import BalloonSpec

if TYPE_CHECKING:
    from vmdedup.guest.guestkernel import GuestKernel

AT_ONCE: Final = 256  # pages: VIRTIO_BALLOON_ARRAY_PFNS_MAX, VIRTIO_BALLOON_OOM_NR_PAGES
AT_ONCE_MS: Final = 1.0  # that so many take: the host's answer is waited for. An assumption
OUT_OF_PUFF_MS: Final = 200.0
_KEPT_SHARE: Final = 128  # of memory that stays free or cached, as the guest's own watermarks want it
_PAGES_A_MIB: Final = 256


class Balloon:
    """The balloon of one boot of a guest."""

    def __init__(self, kernel: GuestKernel, spec: BalloonSpec) -> None:
        self._kernel = kernel
        self._spec = spec
        self._pages: list[Numbers] = []
        self._size = 0
        self._target = self._as_pages(spec.target_mib)
        self._lived_ms = 0.0
        self._rest_ms = 0.0
        self._credit = 0.0
        self._is_given_up = False  # deflated, because there was no memory: until there is another target
        self._wanted_before = 0

    def __len__(self) -> int:
        return self._size

    def _as_pages(self, mib: float) -> int:
        """A target in pages; nothing said: all of memory."""
        return min(round(mib * _PAGES_A_MIB), self._kernel.memory.pages) if mib else self._kernel.memory.pages

    def aim(self, mib: float) -> None:
        """The host wants the guest to be left with so many MiB from now on; 0: with all it has."""
        self._target = self._as_pages(mib)
        self._is_given_up = False

    @property
    def wanted(self) -> int:
        """Pages that the balloon is to have now."""
        spec = self._spec
        is_pulse = spec.pulse_every_s and self._lived_ms >= 1000 * spec.pulse_every_s
        if is_pulse and self._lived_ms % (1000 * spec.pulse_every_s) < 1000 * spec.pulse_s:
            return self._kernel.memory.pages - min(self._target, self._as_pages(spec.pulse_mib))
        return self._kernel.memory.pages - self._target

    def step(self, ms: float) -> None:
        """Go on for ms milliseconds."""
        self._lived_ms += ms
        wanted = self.wanted
        if wanted != self._wanted_before:
            self._wanted_before, self._is_given_up = wanted, False
        self._rest_ms -= ms
        if wanted == self._size:
            self._credit = 0.0
            return
        self._credit += ms * AT_ONCE / AT_ONCE_MS
        count = min(abs(wanted - self._size), math.floor(self._credit))
        if wanted < self._size:
            self._credit -= self._deflate(count)
        elif self._rest_ms <= 0 and not self._is_given_up:
            self._credit -= self._inflate(count)
        else:
            self._credit = 0.0

    def _inflate(self, count: int) -> int:
        kernel = self._kernel
        room = kernel.physical.free + kernel.cache.size - kernel.memory.pages // _KEPT_SHARE
        count = min(count, room)
        if count <= 0:
            self._rest_ms = OUT_OF_PUFF_MS
            return 0
        pages = kernel.allocate(count, overwritten=True)
        kernel.memory.discard(np.sort(pages))
        self._pages.append(pages)
        self._size += count
        return count

    def _deflate(self, count: int) -> int:
        pages = np.concatenate((*self._pages, np.empty(0, np.int64)))
        kept = len(pages) - min(count, len(pages))
        self._pages = [pages[:kept]]
        self._size = kept
        self._kernel.physical.release(pages[kept:])
        return len(pages) - kept

    def relieve(self, short: int) -> None:
        """The guest has so many pages too few: give it as many back, if it may have them."""
        if self._spec.deflate_on_oom and self._size:
            self._deflate(-(-short // AT_ONCE) * AT_ONCE)
            self._is_given_up = True
