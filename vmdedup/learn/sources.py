"""Opening what is learnt from: all that `scan` reads, and recordings, of which each guest is one boot."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from vmdedup.inputs import open_input
from vmdedup.learn.boot import Boot, Contents, Reader, Stop, Watch
from vmdedup.learn.life import Life, life_of
from vmdedup.recording.layout import MAGIC
from vmdedup.recording.reader import Recording
from vmdedup.scan.fingerprint import Hasher
from vmdedup.scan.opening import close_sources, listed, open_sources, refuse_twins
from vmdedup.scan.run import agreed_zero
from vmdedup.scan.source import Piece, Source


@dataclass(frozen=True)
class Opened:
    """A source, and how it changes, if it is of a recording."""

    source: Source
    life: Life | None = None


def read_boots(
    names: Sequence[str], salt: str | None, with_contents: bool, watch: Watch, stop: Stop, counts: Sequence[int] = ()
) -> tuple[list[list[Boot]], Contents]:
    """All boots, in lists of what so many names in turn hold (counts; the rest last), and their contents.

    DumpError, UsageError: one cannot be read, or fingerprints do not go together. StoppedError: stop() said so.
    """
    refuse_twins(names)
    opened: list[list[Opened]] = []
    try:
        for group in _grouped(names, counts):
            opened.append([])
            for name in group:
                opened[-1] += _open(name, stop)
        every = [each for group_opened in opened for each in group_opened]
        hasher = Hasher(salt)
        zero = agreed_zero([each.source for each in every], hasher)
        reader, total = Reader(hasher, zero, with_contents), sum(each.source.present for each in every)
        boots = [[reader.read(each.source, watch, stop, total, each.life) for each in some] for some in opened]
        return boots, reader.contents()
    finally:
        close_sources([each.source for some in opened for each in some])


def _grouped(names: Sequence[str], counts: Sequence[int]) -> Iterator[Sequence[str]]:
    at = 0
    for count in counts:
        yield names[at : at + count]
        at += count
    yield names[at:]


def _open(name: str, stop: Stop) -> list[Opened]:
    if is_recording(name):
        return _recorded(name)
    return [Opened(source) for source in open_sources(listed(name), stop)]


def is_recording(name: str) -> bool:
    """Whether a name is that of a recording's file."""
    if not Path(name).is_file():
        return False
    descriptor = open_input(name)
    try:
        return os.pread(descriptor, len(MAGIC), 0) == MAGIC
    finally:
        os.close(descriptor)


def _recorded(name: str) -> list[Opened]:
    """The guests of a recording, each as it was at the last step."""
    recording = Recording(name)
    try:
        shared = _Shared(recording, len(recording.guests))
        return [
            Opened(RecordedSource(shared, number), life_of(recording, number))
            for number in range(len(recording.guests))
        ]
    except BaseException:
        recording.close()
        raise


@dataclass
class _Shared:
    """A recording, closed with the last of its guests."""

    recording: Recording
    users: int

    def leave(self) -> None:
        """One guest less uses it."""
        self.users -= 1
        if not self.users:
            self.recording.close()


class RecordedSource(Source):
    """A guest of a recording at its last step."""

    format = "recording"

    def __init__(self, shared: _Shared, guest: int) -> None:
        recorded = shared.recording.guests[guest]
        self.name = f"{shared.recording.path}:{recorded.name}"
        regions = recorded.places.regions
        self.regions = [(region.name, region.first, region.pages) for region in regions]
        self._shared = shared
        self._state = shared.recording.state(guest, len(shared.recording.steps) - 1)
        self._numbers = np.concatenate(
            [np.arange(region.first, region.first + region.pages) for region in regions] or [np.zeros(0, np.int64)]
        )
        self.present = int((self._state != 0).sum())

    def pieces(self) -> Iterator[Piece]:
        """In the order of contents; region 0 stands for all."""
        held = np.flatnonzero(self._state)
        for rows, pages in self._shared.recording.contents(self._state[held]):
            content = np.ascontiguousarray(pages).reshape(-1).data
            yield Piece(0, self._numbers[held[rows]].tolist(), partial(_as_loaded, content))

    def close(self) -> None:
        """One guest less."""
        self._shared.leave()


def _as_loaded(content: memoryview) -> tuple[memoryview, int]:
    return content, 1
