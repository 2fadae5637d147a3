"""Reading a recording: what every guest's memory held at every step."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmdedup.closing import Closing
from vmdedup.errors import DumpError
from vmdedup.recording.index import Index
from vmdedup.recording.layout import COUNT, DIGEST_BYTES, GUEST_COUNT, MOST_CHANGES
from vmdedup.recording.log import Log
from vmdedup.recording.places import Numbers
from vmdedup.recording.snapshot import Snapshot
from vmdedup.units import PAGE_SIZE

ContentNumbers = NDArray[np.uint32]
_SHOWN = 40  # guests in an error


class Recording(Closing):
    """An opened recording; a context manager. DumpError: it is none, or damaged before its first step is whole.

    guests, steps: what it holds. created: seconds since 1970. distinct: different page contents. size: bytes.
    note: a sentence about what was left out at the end of the file, or None.
    """

    def __init__(self, path: Path | str) -> None:
        self._log = Log(path)
        try:
            self._index = Index(self._log)
        except BaseException:
            self.close()
            raise
        self.path, self.size = self._log.path, self._log.size
        self.guests, self.steps = self._index.guests, self._index.steps
        self.created, self.distinct = self._index.created, self._index.distinct
        left = self.size - self._index.whole
        self.note = f"the last {left} bytes are no whole step and are left out" if left else None

    # Steps

    def guest_number(self, name: str) -> int:
        """The guest of a name. DumpError: there is none."""
        names = [guest.name for guest in self.guests]
        if name not in names:
            listed = ", ".join(guest.label for guest in self.guests[:_SHOWN])
            raise DumpError(f"{self.path} has no guest {name!r}; it has {listed}")
        return names.index(name)

    def changes(self, guest: int, step: int) -> Iterator[tuple[Numbers, ContentNumbers]]:
        """Places that changed at a step, and the number of what they hold since then; 0: absent."""
        pages = self.guests[guest].pages
        for record in self._index.changes[step].get(guest, ()):
            payload = self._log.payload(record)
            count = GUEST_COUNT.unpack_from(payload)[1]
            if count > MOST_CHANGES:
                self._log.damaged(record, "so many changes cannot be")
            both = np.frombuffer(self._log.unpack(record, payload[GUEST_COUNT.size :], 8 * count), np.uint32)
            places, contents = both[:count].astype(np.int64), both[count:]
            if count and (int(places.max()) >= pages or int(contents.max()) > self._index.distinct):
                self._log.damaged(record, "it names pages that there are not")
            yield places, contents

    def state(self, guest: int, step: int) -> ContentNumbers:
        """What every place held at a step, by number; 0: absent."""
        state = np.zeros(self.guests[guest].pages, np.uint32)
        for earlier in range(step + 1):
            for places, contents in self.changes(guest, earlier):
                state[places] = contents
        return state

    def snapshot(self, guest: int, step: int) -> Snapshot:
        """What was taken of the guest at a step, or last before it."""
        for earlier in reversed(self.steps[: step + 1]):
            if guest in earlier.guests:
                return earlier.guests[guest]
        raise DumpError(f"{self.path} has nothing of guest {self.guests[guest].label!r} at step {step}; record again")

    # Contents

    def contents(self, wanted: ContentNumbers) -> Iterator[tuple[Numbers, NDArray[np.uint8]]]:
        """Which of the wanted, and their pages (n, 4096), a batch of the file at a time, each unpacked once.

        wanted: numbers of contents, none of them 0.
        """
        order = np.argsort(wanted, kind="stable")
        ordered = wanted[order].astype(np.int64)
        start = 0
        while start < len(ordered):
            batch = bisect_right(self._index.firsts, int(ordered[start])) - 1
            first, pages = self._index.firsts[batch], self._unpack(batch)
            end = int(np.searchsorted(ordered, first + len(pages)))
            yield order[start:end], pages[ordered[start:end] - first]
            start = end

    def _unpack(self, batch: int) -> NDArray[np.uint8]:
        record = self._index.batches[batch]
        payload = self._log.payload(record)
        count = COUNT.unpack_from(payload)[0]
        packed = payload[COUNT.size + count * DIGEST_BYTES :]
        return np.frombuffer(self._log.unpack(record, packed, count * PAGE_SIZE), np.uint8).reshape(count, PAGE_SIZE)

    def close(self) -> None:
        """Close the file."""
        self._log.close()
