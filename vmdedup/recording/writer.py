"""Writing a recording: snapshots of guests, step by step, at any moment readable up to the last whole step."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zstandard import ZstdCompressor

from vmdedup.closing import Closing
from vmdedup.dump.base import Dump, Process
from vmdedup.errors import DumpError, VmdedupError
from vmdedup.outputs import check_output
from vmdedup.recording.contents import Contents
from vmdedup.recording.digest import Digests, memory_digest, page_digests
from vmdedup.recording.layout import (
    ABSENT,
    CHANGES,
    COUNT,
    GUEST,
    GUEST_COUNT,
    HEAD,
    MAGIC,
    MOST_BATCH,
    MOST_CHANGES,
    PAGES,
    REGIONS,
    STEP,
    VERSION,
    pack_head,
)
from vmdedup.recording.places import Numbers, Places
from vmdedup.recording.snapshot import Snapshot
from vmdedup.units import PAGE_SIZE

_LEVEL = 3


class _Guest:
    """A guest while it is recorded: places, and what each of them holds now."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.places = Places()
        self.contents: NDArray[np.uint32] = np.zeros(0, np.uint32)

    def grow(self) -> None:
        """Room for all places."""
        if self.places.pages > len(self.contents):
            larger = np.zeros(self.places.pages, np.uint32)
            larger[: len(self.contents)] = self.contents
            self.contents = larger


class Writer(Closing):
    """A recording being written. DumpError: there is such a file. VmdedupError: it cannot be written, the disk is full.

    A step: snapshot() of any guests, then end_step(). close() leaves whole steps only, and no file if there is none.
    Memory: 4 bytes a guest page, 24 a different content, and while a snapshot is taken 13 for each changed page.
    """

    def __init__(self, path: Path | str, created: float, force: bool = False) -> None:
        """force: replace whatever file is there."""
        self.path = Path(path)
        self.steps = 0
        self.size = 0
        self._guests: list[_Guest] = []
        self._contents = Contents()
        self._batch = np.empty((MOST_BATCH, PAGE_SIZE), np.uint8)
        self._batch_digests = np.empty((MOST_BATCH, 2), np.uint64)
        self._batched = 0
        self._taken: dict[int, Snapshot] = {}
        self._descriptor = _create(self.path, force)
        self._end = 0
        self._append(MAGIC)
        self._json(HEAD, {"version": VERSION, "page_size": PAGE_SIZE, "created": created})

    @property
    def distinct(self) -> int:
        """Different page contents so far."""
        return self._contents.count

    def add_guest(self, name: str, source: str) -> int:
        """A guest. source: what it was read from, in words. Returns its number."""
        if name in (guest.name for guest in self._guests):
            raise DumpError(f"two guests are called {name!r}; write NAME=SOURCE to give each its own name")
        self._json(GUEST, {"name": name, "source": source})
        self._guests.append(_Guest(name))
        return len(self._guests) - 1

    def snapshot(self, number: int, dump: Dump | None) -> Snapshot:
        """Take what a dump holds for the guest's memory now. None: the guest is gone, and with it all its pages."""
        guest = self._guests[number]
        if dump is not None and (new := guest.places.add(dump.regions)):
            listed = [[region.name, region.first, region.pages] for region in new]
            self._json(REGIONS, {"guest": number, "regions": listed})
            guest.grow()
        places, contents = self._changes(guest, dump)
        self._write_changes(number, places, contents)
        guest.contents[places] = contents
        taken = self._sum_up(guest, len(places), {} if dump is None else dump.processes)
        self._taken[number] = taken
        return taken

    def _changes(self, guest: _Guest, dump: Dump | None) -> tuple[Numbers, NDArray[np.uint32]]:
        """Places whose content is another one than at the step before, and what they hold."""
        seen = np.zeros(len(guest.contents), np.bool_)
        parts: list[tuple[Numbers, NDArray[np.uint32]]] = []
        for block in dump.blocks() if dump is not None else ():
            places = guest.places.of(block.numbers)
            contents = self._numbers_of(block.load())
            differ = np.flatnonzero(guest.contents[places] != contents)
            seen[places] = True
            parts.append((places[differ], contents[differ]))
        gone = np.flatnonzero(~seen & (guest.contents != ABSENT))
        parts.append((gone, np.zeros(len(gone), np.uint32)))
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])

    def _numbers_of(self, pages: NDArray[np.uint8]) -> NDArray[np.uint32]:
        """The content number of each page; new contents are written."""
        digests = page_digests(pages)
        numbers, new = self._contents.resolve(digests)
        for row in new.tolist():
            self._keep(pages[row], digests[row])
        return numbers.astype(np.uint32)

    def _keep(self, page: NDArray[np.uint8], digest: Digests) -> None:
        self._batch[self._batched], self._batch_digests[self._batched] = page, digest
        self._batched += 1
        if self._batched == MOST_BATCH:
            self._write_batch()

    def _write_batch(self) -> None:
        if self._batched:
            count, self._batched = self._batched, 0
            packed = ZstdCompressor(_LEVEL).compress(self._batch[:count].data)
            self._record(PAGES, COUNT.pack(count) + self._batch_digests[:count].tobytes() + packed)

    def _write_changes(self, number: int, places: Numbers, contents: NDArray[np.uint32]) -> None:
        for start in range(0, len(places), MOST_CHANGES):
            part = slice(start, start + MOST_CHANGES)
            both = places[part].astype(np.uint32).tobytes() + contents[part].tobytes()
            head = GUEST_COUNT.pack(number, len(contents[part]))
            self._record(CHANGES, head + ZstdCompressor(_LEVEL).compress(both))

    def _sum_up(self, guest: _Guest, changed: int, processes: Mapping[int, Process]) -> Snapshot:
        present = guest.contents != ABSENT
        digest = memory_digest(guest.places, present, lambda places: self._contents.digests(guest.contents[places]))
        return Snapshot(digest, changed, int(present.sum()), processes)

    def end_step(self, time_ns: int) -> None:
        """Make the step complete. time_ns: since the first one."""
        self._write_batch()
        taken = {str(number): snapshot.document() for number, snapshot in self._taken.items()}
        self._json(STEP, {"time_ns": time_ns, "guests": taken})
        self._taken = {}
        self.steps += 1
        self.size = self._end

    def close(self) -> None:
        """Cut off what is not a whole step."""
        if self._descriptor >= 0:
            os.truncate(self._descriptor, self.size)
            os.close(self._descriptor)
            self._descriptor = -1
            if not self.steps:
                self.path.unlink(missing_ok=True)

    # Records

    def _json(self, kind: int, content: Mapping[str, Any]) -> None:
        self._record(kind, json.dumps(content, sort_keys=True).encode())

    def _record(self, kind: int, payload: bytes) -> None:
        self._append(pack_head(kind, payload) + payload)

    def _append(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            try:
                written = os.write(self._descriptor, left)
            except OSError as error:
                raise self._refused(error) from None
            left = left[written:]
        self._end += len(data)

    def _refused(self, error: OSError) -> VmdedupError:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        remedy = "make room, or record to another place" if full else "check path and permissions"
        kept = f"whole steps kept in it: {self.steps}" if self.steps else "nothing was recorded"
        return VmdedupError(f"{self.path} cannot be written ({error.strerror}); {kept}; {remedy}")


def _create(path: Path, force: bool) -> int:
    try:
        check_output(path, force)
        path.unlink(missing_ok=True)
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DumpError(f"{path} cannot be written ({error.strerror}); check path and permissions") from None
