"""A guest whose memory comes from an image: it boots with just these contents, and lives what was recorded, again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vmdedup.errors import GuestError, UsageError
from vmdedup.guest.forms import FINGERPRINTS
from vmdedup.guest.image import open_life
from vmdedup.guest.life import Life
from vmdedup.guest.spec import GuestSpec, ImageSpec
from vmdedup.guest.stats import GuestStats
from vmdedup.host.fingerprints import FINGERPRINT
from vmdedup.units import PAGE_SIZE

if TYPE_CHECKING:
    from vmdedup.guest.memory import Memory

_NS_PER_MS = 1e6


class RevivedGuest:
    """Has what guest.machine.Guest has. At virtual time t after power-on it holds the last step not later than t.

    Only pages that changed are stored; pages that were given back are discarded. spec.image must be given; spec's disk,
    workload and all that belongs to them play no part.
    """

    def __init__(self, spec: GuestSpec, memory: Memory) -> None:
        assert spec.image is not None
        self.spec = spec
        self.memory = memory
        self.state = "off"
        self.step = 0
        self._image: ImageSpec = spec.image
        self._boots = 0
        self._virtual_ms = 0.0
        self._booted_ms = 0.0

    def boot(self) -> None:
        """Power on: the first step is in memory at once. Raises UsageError or DumpError."""
        if self.state != "off":
            raise GuestError(f"guest {self.spec.name!r} is {self.state} and cannot be powered on")
        self._life: Life = open_life(self._image, self.spec.seed)
        if self.memory.page_size != PAGE_SIZE or self.memory.pages < self._life.pages:
            raise UsageError(
                f"guest {self.spec.name!r} needs {self._life.pages} pages of {PAGE_SIZE} bytes for {self._life.name}, "
                f"not {self.memory.pages} of {self.memory.page_size}; give it more memory"
            )
        self._power_on()

    def _power_on(self) -> None:
        self.step = 0
        self._apply(0)
        self._booted_ms = self._virtual_ms
        self._boots += 1
        self.state = "running"

    def _apply(self, step: int) -> None:
        for places, pages in self._life.changes(step):
            if pages is None:
                self.memory.discard(places)
            else:
                self.memory.write_pages(places, pages)
        for area in self._life.areas(step):
            self.memory.declare(*area)

    def tick(self, ms: float) -> GuestStats:
        """Live for ms milliseconds of virtual time."""
        self.advance(ms)
        return self.stats()

    def advance(self, ms: float) -> None:
        """As tick, without saying anything."""
        self._virtual_ms += ms
        lived_ns = round((self._virtual_ms - self._booted_ms) * _NS_PER_MS * self._image.speed)
        times = self._life.times
        while self.step + 1 < len(times) and times[self.step + 1] <= lived_ns:
            self._apply(self.step + 1)
            self.step += 1

    def live(self, ms: float) -> bool:
        """As advance, for ms milliseconds of wall time. Returns False: it always has time to rest."""
        self.advance(ms)
        return False

    def reboot(self) -> None:
        """Begin again with the first step: its pages are stored afresh, all others are given back."""
        self._need_power()
        stale = self._life.present(self.step) & ~self._life.present(0)
        self.memory.discard(np.flatnonzero(stale))
        self._power_on()

    def aim_balloon(self, mib: float) -> None:
        """Raises GuestError: what was recorded is what it has."""
        raise GuestError(f"guest {self.spec.name!r} lives what was recorded, and has no balloon; leave the target out")

    def leave(self) -> None:
        """Power off and give all memory back to the host."""
        self._need_power()
        self.state = "left"
        self._life.close()
        self.memory.exit()

    def verify(self) -> int:
        """Read all pages back and hold their digest against that of the step. Returns pages verified."""
        self._need_power()
        if self.memory.has_fingerprints:
            return self._verify_fingerprints()
        if self._life.digest_of(self.step, self.memory.read_pages) != self._life.digest(self.step):
            raise GuestError(f"guest {self.spec.name!r} does not hold what {self._life.name} has at step {self.step}")
        return self._life.count(self.step)

    def _verify_fingerprints(self) -> int:
        """As verify, of pages that stand for contents: against those of all steps up to this one."""
        expected = np.zeros((self._life.pages, FINGERPRINT), np.uint8)
        for step in range(self.step + 1):
            for places, pages in self._life.changes(step):
                expected[places] = 0 if pages is None else FINGERPRINTS.of(pages)
        present = np.flatnonzero(self._life.present(self.step))
        if not np.array_equal(self.memory.read_pages(present), expected[present]):
            raise GuestError(f"guest {self.spec.name!r} does not hold what {self._life.name} has at step {self.step}")
        return self._life.count(self.step)

    def _need_power(self) -> None:
        if self.state != "running":
            raise GuestError(f"guest {self.spec.name!r} is {self.state}; power it on first")

    def stats(self) -> GuestStats:
        """What is known: pages that hold something, as anonymous pages, and all others, as free."""
        if self.state != "running":
            return GuestStats(self.spec.name, self.state, self._virtual_ms, self._boots, self.memory.pages)
        present = self._life.count(self.step)
        return GuestStats(
            name=self.spec.name,
            state=self.state,
            virtual_ms=self._virtual_ms,
            boots=self._boots,
            memory_pages=self.memory.pages,
            anonymous_pages=present,
            free_pages=self.memory.pages - present,
        )
