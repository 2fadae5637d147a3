"""Who has what: the guests' table and the matrix, counted from who maps which frame.

Arrays over all mappings of counted frames, one element a (frame, guest) pair:
frame, guest: int64[n]; copies: how often that guest maps that frame; sharers: how many guests map that frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from vmdedup.host.census import count_distinct
from vmdedup.ksm.sysfs import PROCESS_COUNTERS

if TYPE_CHECKING:
    from vmdedup.run.measure.host import Resident
    from vmdedup.run.measure.rows import Row

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_ROWS = 4096  # frames taken at a time
_MOST_AT_ONCE = 1 << 24  # words that are told apart in a table
_SIZES = ("allocated", "used", "saved", "zero", "within_guest", "between_guests")
# XXH64, seed 0, of 4096 zero bytes; its low half is mm/ksm.c's zero_checksum.
ZERO_HASH: Final = 0xAC86_9B6F_32D8_BBDB
ZERO_WORD: Final = np.uint64(ZERO_HASH).astype(np.int64)  # the same as a signed word


@dataclass(frozen=True)
class Shares:
    """Pages of each address space, float64[mms]: a frame that g guests map counts 1/g to each of them."""

    allocated: Floats
    used: Floats
    zero: Floats
    within: Floats
    between: Floats


class Mappings:
    """The mappings of a host at one moment.

    allocated, zero_placed: pages with content, and those of them that are KSM's zero pages, by guest,
    int64[mms]. pairs: every mapping of any other frame as frame << 16 | guest, in any order. zero_frames:
    tells which of an array of frames hold zeros only. stored: frames behind each guest's pages that are kept in
    other forms, float64[mms], its part of what serves several; none without it. singles: frames that are mapped once,
    and left out of pairs, by guest, and of them those of zeros: int64[mms, 2]; none without it.
    """

    def __init__(
        self,
        allocated: Ints,
        zero_placed: Ints,
        pairs: Ints,
        zero_frames: Callable[[Ints], NDArray[np.bool_]],
        stored: Floats | None = None,
        singles: Ints | None = None,
    ) -> None:
        self.stored = stored if stored is not None else np.zeros(len(allocated))
        self.mms = len(allocated)
        self._singles = singles if singles is not None else np.zeros((self.mms, 2), np.int64)
        self.allocated, self.zero_placed = allocated, zero_placed
        unique, self.copies = np.unique(pairs, return_counts=True)
        self.frame, self.guest = unique >> 16, unique & 0xFFFF
        self.frames, inverse, guests = np.unique(self.frame, return_inverse=True, return_counts=True)
        self.sharers = guests[inverse]
        self.zero_frames = zero_frames(self.frames)
        self.is_zero = self.zero_frames[inverse]

    def saved(self) -> tuple[int, int, int]:
        """Pages saved that are zero-filled (KSM's zero pages left out), within one guest, between guests."""
        kept, zeros = ~self.is_zero, int(self.zero_frames.sum())
        return (
            int(self.copies[self.is_zero].sum()) - zeros,
            int(self.copies[kept].sum() - kept.sum()),
            int(kept.sum()) - (len(self.frames) - zeros),
        )

    def shares(self) -> Shares:
        """What each guest has allocated, uses, and saves in which way."""
        kept = ~self.is_zero
        zero_own, kept_own = self._parts(self.is_zero, self._singles[:, 1]), self._parts(kept, self._singles[:, 0])
        return Shares(
            allocated=self.allocated.astype(np.float64),
            used=zero_own + kept_own + self.stored,
            zero=self._by_guest(self.copies * self.is_zero) + self._singles[:, 1] - zero_own + self.zero_placed,
            within=self._by_guest((self.copies - 1) * kept).astype(np.float64),
            between=self._by_guest(kept) + self._singles[:, 0] - kept_own,
        )

    def matrix(self, zero: bool) -> Ints:
        """Frames that both guests map, int64[mms, mms]; the diagonal: frames mapped more than once."""
        wanted = self.is_zero == zero
        common = self._common_frames(wanted & (self.sharers > 1))
        np.fill_diagonal(common, self._by_guest(wanted & (self.copies > 1)))
        return common

    def _common_frames(self, wanted: NDArray[np.bool_]) -> Ints:
        frame, guest = self.frame[wanted], self.guest[wanted]
        common = np.zeros((self.mms, self.mms), np.float64)
        if len(frame):
            row = np.cumsum(np.diff(frame, prepend=frame[0]) != 0)
            for start in range(0, int(row[-1]) + 1, _ROWS):
                lo, hi = np.searchsorted(row, [start, start + _ROWS])
                incidence = np.zeros((_ROWS, self.mms), np.float32)
                incidence[row[lo:hi] - start, guest[lo:hi]] = 1.0
                common += incidence.T @ incidence
        return common.astype(np.int64)

    def _by_guest(self, values: NDArray[Any]) -> Ints:
        """Sums of whole numbers."""
        return np.bincount(self.guest, weights=values, minlength=self.mms).astype(np.int64)

    def _parts(self, wanted: NDArray[np.bool_], singles: Ints) -> Floats:
        """Each guest's part of the frames: 1/g of one that g guests map. singles: further ones, its own alone.

        Frames are counted by g first: the sum must not depend on frame numbers, which a race decides.
        """
        columns = self.mms + 1
        places = self.guest[wanted] * columns + self.sharers[wanted]
        counts = np.bincount(places, minlength=self.mms * columns).reshape(self.mms, columns)
        counts[:, 1] += singles
        parts: Floats = (counts[:, 1:] / np.arange(1, columns)).sum(axis=1)
        return parts


def guest_rows(residents: Sequence[Resident], mappings: Mappings) -> list[Row]:
    """A row a guest (result.columns.GUESTS)."""
    shares = mappings.shares()
    return [_guest_row(resident, shares) for resident in residents]


def _guest_row(resident: Resident, shares: Shares) -> Row:
    stat = resident.stat if resident.is_present else dict.fromkeys(PROCESS_COUNTERS, 0)
    return {
        "guest": resident.name,
        "group": resident.group,
        "mm": resident.number,
        "state": resident.state,
        "memory_pages": resident.memory_pages,
        **dict(zip((f"{size}_pages" for size in _SIZES), _sizes(resident, shares), strict=True)),
        **{name: stat[name] if stat is not None else None for name in PROCESS_COUNTERS},
        **resident.further,
    }


def _sizes(resident: Resident, shares: Shares) -> tuple[float, ...]:
    """Pages, in the order of _SIZES."""
    if not resident.is_present:
        return (0.0,) * len(_SIZES)
    allocated, used = float(shares.allocated[resident.number]), float(shares.used[resident.number])
    parts = (float(part[resident.number]) for part in (shares.zero, shares.within, shares.between))
    return allocated, used, allocated - used, *parts


def matrix_rows(residents: Sequence[Resident], mappings: Mappings) -> list[Row]:
    """A row for each pair that shares something (result.columns.MATRIX), in the order of the guests."""
    names = [(resident.number, resident.name) for resident in residents if resident.number]
    shared, zero = mappings.matrix(zero=False), mappings.matrix(zero=True)
    return [
        {"guest_a": one, "guest_b": two, "shared_frames": int(shared[a, b]), "zero_frames": int(zero[a, b])}
        for i, (a, one) in enumerate(names)
        for b, two in names[i:]
        if shared[a, b] or zero[a, b]
    ]


def possible_pages(
    hashes: NDArray[np.int64], allocated: int, zero_placed: int, zeros_are_free: bool, zero: int = int(ZERO_WORD)
) -> int:
    """Pages that would be saved if each content were kept once.

    hashes: XXH64 of each frame in use, in any order; zero: that of zeros. allocated, zero_placed: pages with content,
    and those of them that KSM made zero pages of. zeros_are_free: all-zero content costs no frame (use_zero_pages),
    else one. Contents whose hashes collide count as one, which among 2**20 contents happens one time in 10**7.
    """
    contents, has_zero = distinct(hashes), bool((hashes == zero).any())
    others = contents - int(has_zero)
    zeros = int(zero_placed > 0 or has_zero)
    return allocated - others - (0 if zeros_are_free else zeros)


def distinct(words: Ints) -> int:
    """How many different words there are."""
    if len(words) > _MOST_AT_ONCE:  # a table of them would take more memory than sorting
        ordered = np.sort(words)
        return 1 + int(np.count_nonzero(ordered[1:] != ordered[:-1]))
    table = np.zeros(1 << (2 * len(words)).bit_length(), np.int64)
    return int(count_distinct(words, table)) + int(not words.all())
