"""One guest of a recording: its steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vmdedup.guest.life import Change, Life

if TYPE_CHECKING:
    from vmdedup.recording.reader import Recording


class RecordedLife(Life):
    """One guest of a recording."""

    def __init__(self, recording: Recording, guest: int) -> None:
        recorded = recording.guests[guest]
        self.name = f"{recording.path} ({recorded.label})"
        self.places = recorded.places
        self.times = [step.time_ns for step in recording.steps]
        self._recording, self._guest = recording, guest

    def changes(self, step: int) -> Iterator[Change]:
        """What was recorded for the step."""
        for places, contents in self._recording.changes(self._guest, step):
            gone, held = places[contents == 0], np.flatnonzero(contents)
            if len(gone):
                yield gone, None
            for rows, pages in self._recording.contents(contents[held]):
                yield places[held[rows]], pages

    def present(self, step: int) -> NDArray[np.bool_]:
        """From all changes up to the step."""
        return np.not_equal(self._recording.state(self._guest, step), 0)

    def count(self, step: int) -> int:
        """As recorded."""
        return self._recording.snapshot(self._guest, step).present

    def digest(self, step: int) -> str:
        """As recorded."""
        return self._recording.snapshot(self._guest, step).digest

    def close(self) -> None:
        """Close the recording."""
        self._recording.close()
