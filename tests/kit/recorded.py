"""What recordings hold, read through their own interface."""

from __future__ import annotations

import numpy as np

from kit.memory_dumps import Pages
from vmdedup.recording.reader import Recording


def state_of(recording: Recording, guest: int, step: int) -> Pages:
    """All that a guest held at a step, read through the recording's own interface."""
    state = recording.state(guest, step)
    held = np.flatnonzero(state)
    pages: dict[int, bytes] = {}
    for rows, contents in recording.contents(state[held]):
        pages |= {int(held[row]): content.tobytes() for row, content in zip(rows, contents, strict=True)}
    numbers = {place + k: first + k for first, place, count in runs(recording, guest) for k in range(count)}
    return {numbers[place]: content for place, content in pages.items()}


def runs(recording: Recording, guest: int) -> list[tuple[int, int, int]]:
    return list(recording.guests[guest].places.in_order())
