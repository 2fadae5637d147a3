"""Memory images: what a guest's memory holds from the start, out of a dump, or from step to step, out of a recording.

    ImageSpec ──open_life──► DumpLife       one step: the dump
                             RecordedLife   the steps of one guest of a recording
                             FamilyLife     the same of processes that are one system
                             ModelledLife   those of a guest made from a model (guest.modelled)

A worker opens its own, and reads by position what it needs at a step, so copies share the page cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import DumpError
from vmdedup.guest.life import Change, Life
from vmdedup.guest.recorded import RecordedLife
from vmdedup.guest.spec import ImageSpec
from vmdedup.late import load
from vmdedup.recording.digest import memory_digest, page_digests
from vmdedup.recording.places import Places

if TYPE_CHECKING:
    from vmdedup.dump.base import Dump
    from vmdedup.recording.digest import Digests
    from vmdedup.recording.reader import Recording


class DumpLife(Life):
    """A dump: one step."""

    times = (0,)

    def __init__(self, dump: Dump) -> None:
        self.name = dump.name
        self.places = Places(dump.regions)
        self._dump = dump

    def changes(self, step: int) -> Iterator[Change]:
        """Every page of the dump."""
        for block in self._dump.blocks():
            yield self.places.of(block.numbers), block.load()

    def present(self, step: int) -> NDArray[np.bool_]:
        """The dump's pages that are not absent."""
        present = np.zeros(self.pages, np.bool_)
        for block in self._dump.blocks():
            present[self.places.of(block.numbers)] = True
        return present

    def count(self, step: int) -> int:
        """What the dump's tables say."""
        return self._dump.present

    def digest(self, step: int) -> str:
        """Reads the dump once more."""
        digests: Digests = np.zeros((self.pages, 2), np.uint64)
        for places, pages in self.changes(step):
            assert pages is not None
            digests[places] = page_digests(pages)
        return memory_digest(self.places, self.present(step), lambda chosen: digests[chosen])

    def close(self) -> None:
        """Close the dump."""
        self._dump.close()


def open_life(spec: ImageSpec, seed: int = 0) -> Life:
    """The steps of an image. seed: of a guest made from a model. DumpError: the file holds no such guest, …

    UsageError: … or cannot be used.
    """
    if spec.model:
        made: Life = load("vmdedup.guest.modelled:ModelledLife")(spec, seed)
        return made
    if not spec.replay:
        from vmdedup.dump.open import open_dump

        return DumpLife(open_dump(spec.path))
    from vmdedup.recording.reader import Recording

    recording = Recording(spec.path)
    try:
        number = _number(recording, spec.guest)
        is_family = any(step.guests[number].processes for step in recording.steps if number in step.guests)
        kind: type[RecordedLife] = load("vmdedup.guest.family:FamilyLife") if is_family else RecordedLife
        return kind(recording, number)
    except BaseException:
        recording.close()
        raise


def _number(recording: Recording, guest: str | int) -> int:
    if not recording.guests:
        raise DumpError(f"{recording.path} holds no guest; record again")
    return recording.guest_number(guest) if isinstance(guest, str) else guest % len(recording.guests)
