"""What guests' memory holds, seen from outside: /proc/PID/pagemap, ksm_stat and mem.

Frames come from pagemap. KSM's zero pages cannot be told there from zero pages that were only read, so
their number is that of ksm_stat. Contents are read through /proc/PID/mem, each frame once, and only where a page is
present: reading an absent one would make it present. process_vm_readv will not do: it pins pages, and
a merged page cannot be pinned, so the kernel would take each one apart.
Source: Documentation/admin-guide/mm/pagemap.rst; mm/gup.c gup_must_unshare.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import GuestError
from vmdedup.host import census as host_census
from vmdedup.host.memory import Host
from vmdedup.live.ksm.alone import process_counters
from vmdedup.live.mapped.space import Space
from vmdedup.live.memory import pagemap
from vmdedup.live.scripts.worker import PAGE

Ints = NDArray[np.int64]

_AT_A_TIME = 1024  # pages read and hashed at a time


@dataclass(frozen=True)
class Census:
    """One count. By guest, int64[mms]: allocated, zero_placed. Every mapping: pairs, frame << 16 | guest.

    frames: each frame once, ascending, and hashes: XXH64 of its content. KSM's zero pages are in the first two only.
    """

    allocated: Ints
    zero_placed: Ints
    pairs: Ints
    frames: Ints
    hashes: Ints


class Gone(Exception):  # noqa: N818 - no error: it is caught here
    """A guest's process ended while it was looked at."""

    def __init__(self, space: Space) -> None:
        super().__init__(space)
        self.space = space


class Counter:
    """Takes one census after another. Exact while nobody runs; guests that are gone hold nothing."""

    def __init__(self, mms: int) -> None:
        """mms: guests at most, plus one."""
        self._mms = mms
        self._zero_frame = _zero_frame()
        # Contents are hashed where the emulator hashes them: in the frames of a small host.
        self._scratch = Host.create(1, _AT_A_TIME)

    def close(self) -> None:
        """Let go of the memory in which contents are hashed."""
        self._scratch.close()

    def take(self, spaces: Iterable[Space]) -> Census:
        """Count all of these. EnvironmentLacksError: the kernel hides frame numbers."""
        left = list(spaces)
        while True:
            try:
                return self._take(left)
            except Gone as gone:
                left.remove(gone.space)

    def _take(self, spaces: list[Space]) -> Census:
        allocated, placed = np.zeros(self._mms, np.int64), np.zeros(self._mms, np.int64)
        found = [self._frames(space) for space in spaces]
        for space, frames in zip(spaces, found, strict=True):
            placed[space.mm] = _zero_pages(space)
            allocated[space.mm] = np.count_nonzero(frames) + placed[space.mm]
        every = np.concatenate([*found, np.zeros(0, np.int64)])
        owners = np.repeat(np.array([space.mm for space in spaces], np.int64), [len(frames) for frames in found])
        present = np.flatnonzero(every)
        frames, firsts = np.unique(every[present], return_index=True)
        return Census(
            allocated,
            placed,
            pairs=every[present] << 16 | owners[present],
            frames=frames,
            hashes=self._hashes(spaces, present[firsts]),
        )

    def _frames(self, space: Space) -> Ints:
        """The frame of each page; 0 for absent pages and zero pages."""
        try:
            frames = pagemap.frames(space.pid, space.base, space.pages).astype(np.int64)
        except (OSError, GuestError):
            raise Gone(space) from None
        frames[frames == self._zero_frame] = 0
        return frames

    def _hashes(self, spaces: list[Space], places: NDArray[np.intp]) -> Ints:
        """XXH64 of the pages at these places, counted through all spaces."""
        order = np.argsort(places)
        hashes, ends = np.zeros(len(places), np.int64), np.cumsum([space.pages for space in spaces])
        cuts = np.searchsorted(places[order], ends)
        for space, end, some in zip(spaces, ends, np.split(order, cuts[:-1]) if spaces else [], strict=True):
            pages = places[some] - (end - space.pages)
            hashes[some] = np.concatenate([*self._hashed(space, pages), np.zeros(0, np.int64)])
        return hashes

    def _hashed(self, space: Space, pages: NDArray[np.intp]) -> Iterator[Ints]:
        """Hashes of pages of one space, ascending, some at a time."""
        arrays = self._scratch.arrays
        try:
            memory = os.open(f"/proc/{space.pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            raise Gone(space) from None
        try:
            for start in range(0, len(pages), _AT_A_TIME):
                some = pages[start : start + _AT_A_TIME]
                self._read(space, memory, some)
                frames = arrays.frames[: len(some) + 1]
                frames[1:] = 1
                hashes = np.zeros(len(some), np.int64)
                host_census.hash_frames(arrays._replace(frames=frames), hashes)
                yield hashes
        finally:
            os.close(memory)

    def _read(self, space: Space, memory: int, pages: NDArray[np.intp]) -> None:
        """Read pages into the scratch host's frames from 1 on, neighbours in one go."""
        row = 1
        for run in np.split(pages, np.flatnonzero(np.diff(pages) != 1) + 1):
            into = self._scratch.arrays.bytes[row : row + len(run)].reshape(-1)
            try:
                got = os.preadv(memory, [into.data], space.base + int(run[0]) * PAGE)
            except OSError:
                raise Gone(space) from None
            if got < len(into):
                raise Gone(space)
            row += len(run)


def _zero_pages(space: Space) -> int:
    try:
        return process_counters(space.pid)["ksm_zero_pages"]
    except GuestError:
        raise Gone(space) from None


def _zero_frame() -> int:
    """The frame number of the kernel's zero page: that of a page of ours which was only read."""
    with mmap.mmap(-1, PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as page:
        page.read(1)
        byte = ctypes.c_char.from_buffer(page)
        frame = int(pagemap.frames(os.getpid(), ctypes.addressof(byte), 1)[0])
        del byte
        return frame
