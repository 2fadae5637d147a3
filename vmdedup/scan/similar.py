"""What is left once whole pages are shared: similar pages as patches, and packed pages, in the bytes they would take.

Looked at is the first page of every content that is not zero, in the order of dumps. As in Difference Engine, a page
that is patched is no reference to others, and a page that others are patched against stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import UsageError
from vmdedup.limits import cores
from vmdedup.scan.fingerprint import SIZE, Hasher
from vmdedup.scan.reading import in_order
from vmdedup.scan.source import Piece, Source
from vmdedup.scan.spool import Spool
from vmdedup.scan.stream import Stream
from vmdedup.subpage import compression, delta
from vmdedup.subpage.detector import HashSimilarityDetector
from vmdedup.units import PAGE_SIZE

if TYPE_CHECKING:
    from vmdedup.scan.reading import Stop, Watch

MIB = 1 << 20
CODECS: tuple[compression.Codec, ...] = ("lz4", "zstd")
REFERENCES_IN_MEMORY = 64 * MIB
SAMPLES = 1 << 16

Sizes = NDArray[np.uint16]


@dataclass(frozen=True)
class Similar:
    """What to look for. k, s, c, bits, seed: the detector's. sample: share of the contents patched and packed."""

    k: int = 2
    s: int = 1
    c: int = 1
    bits: int = 64
    seed: int = 0
    sample: float = 1.0

    def look(
        self, sources: Sequence[Source], stream: Stream, hasher: Hasher, watch: Watch, stop: Stop
    ) -> dict[str, Any] | None:
        """Go through the contents of all dumps again. None: stop() said so. UsageError: there are no contents."""
        if any(not source.has_contents for source in sources):
            raise UsageError("--subpage needs contents, and exported hashes have none; scan the dumps themselves")
        first = first_copies(stream, hasher.zero)
        kept = Kept(first, self)
        done, total = 0, len(first.mask)
        for rows in in_order(_pieces(sources), lambda item: kept.prepare(*item), max(cores(), 2)):
            if stop():
                return None
            kept.take(rows)
            done += rows.pages
            watch(done, total)
        return kept.document()


@dataclass(frozen=True)
class FirstCopies:
    """mask: by page of all dumps, whether no page before has its content. sampled: of those, which are packed."""

    mask: NDArray[np.bool_]
    draws: NDArray[np.uint16]


def first_copies(stream: Stream, zero: bytes) -> FirstCopies:
    """The first page of every content that is not zero. Takes some 50 bytes a page."""
    packed = b"".join(chunk for dump in range(len(stream.counts)) for _, chunk in stream.chunks(dump))
    words = np.frombuffer(packed, np.uint64).reshape(-1, SIZE // 8)
    order = np.lexsort((words[:, 1], words[:, 0]))  # stable: equal ones stay in order
    placed = words[order]
    is_new = np.ones(len(order), np.bool_)
    is_new[1:] = (placed[1:] != placed[:-1]).any(axis=1)
    mask = np.zeros(len(order), np.bool_)
    mask[order[is_new]] = True
    mask &= (words != np.frombuffer(zero, np.uint64)).any(axis=1)
    return FirstCopies(mask, (words[:, 1] >> np.uint64(48)).astype(np.uint16))


@dataclass(frozen=True)
class Rows:
    """The contents of a piece: pages (n, 4096), their signatures, whether they are sampled; packed sizes by codec."""

    pages: int
    contents: NDArray[np.uint8]
    signatures: NDArray[np.uint64]
    sampled: NDArray[np.bool_]
    sizes: dict[compression.Codec, Sizes]


class Kept:
    """What is found, content by content."""

    def __init__(self, first: FirstCopies, settings: Similar) -> None:
        self.settings, self.first = settings, first
        self.detector = HashSimilarityDetector(
            settings.k, settings.s, settings.c, PAGE_SIZE, settings.bits, settings.seed
        )
        self.references = Spool(REFERENCES_IN_MEMORY)
        count = int(first.mask.sum())
        self.places: dict[int, int] = {}  # content that may be a reference: where it lies in the spool
        self.sampled = np.zeros(count, np.bool_)
        self.patched = np.zeros(count, np.bool_)
        self.is_reference = np.zeros(count, np.bool_)
        self.patch_bytes = np.zeros(count, np.uint16)
        self.sizes = {codec: np.zeros(count, np.uint16) for codec in CODECS}
        self.done = 0

    def prepare(self, before: int, piece: Piece) -> Rows:
        """What needs no other page, so any thread can do it. before: pages in all dumps before this piece."""
        pages = len(piece.numbers)
        chosen = self.first.mask[before : before + pages]
        if not chosen.any():
            contents = np.empty((0, PAGE_SIZE), np.uint8)
        else:
            loaded, times = piece.load()
            whole = np.frombuffer(loaded, np.uint8).reshape(-1, PAGE_SIZE)
            contents = whole[chosen] if times == 1 else whole[: int(chosen.any())]
        sampled = self.first.draws[before : before + pages][chosen] < self.settings.sample * SAMPLES
        sizes = {codec: _packed_sizes(contents, sampled, codec) for codec in CODECS}
        return Rows(pages, contents, self.detector.signatures(contents), sampled, sizes)

    def take(self, rows: Rows) -> None:
        """Find, one after the other, what the contents can be patched against."""
        end = self.done + len(rows.contents)
        self.sampled[self.done : end] = rows.sampled
        for codec, sizes in rows.sizes.items():
            self.sizes[codec][self.done : end] = sizes
        for row, content in enumerate(rows.contents):
            self._take_one(self.done + row, content.tobytes(), rows.signatures[row])
        self.done = end

    def _take_one(self, number: int, page: bytes, signatures: NDArray[np.uint64]) -> None:
        candidates = self.detector.candidates(signatures)
        if candidates:
            if not self.sampled[number]:  # as likely as not; only what is sampled is counted
                self.patched[number] = True
                self.is_reference[candidates[0]] = True
                return
            patches = ((len(delta.patch(self._reference(c), page)), c) for c in candidates)
            size, best = min(patches)
            if size <= delta.CUT_OFF:
                self.patched[number], self.patch_bytes[number] = True, size
                self.is_reference[best] = True
                return
        if self.detector.remember(number, signatures):
            self.places[number] = self.references.put(page)

    def _reference(self, number: int) -> bytes:
        return self.references.get(self.places[number], PAGE_SIZE)

    def document(self) -> dict[str, Any]:
        """The figures, scaled from the sample to all contents; sizes in bytes unless named _mib."""
        self.references.close()
        counted = int(self.sampled.sum())
        scale = len(self.sampled) / counted if counted else 0.0
        patched = self.sampled & self.patched
        rest = self.sampled & ~self.patched & ~self.is_reference
        size = int(self.patch_bytes[patched].sum())
        count = int(patched.sum())
        settings = self.settings
        return {
            "detector": {name: getattr(settings, name) for name in ("k", "s", "c", "bits", "seed")},
            "cut_off": delta.CUT_OFF,
            "sample": settings.sample,
            "sampled": counted,
            "pages": len(self.sampled),
            "rest": round(int(rest.sum()) * scale),
            "references": int(self.is_reference.sum()),
            "patching": {
                "pages": round(count * scale),
                "bytes": round(size * scale),
                "mean_bytes": size / max(1, count),
                "saved_mib": (count * PAGE_SIZE - size) * scale / MIB,
            },
        } | {str(codec): self._packed(sizes, rest, scale) for codec, sizes in self.sizes.items()}

    def _packed(self, sizes: Sizes, rest: NDArray[np.bool_], scale: float) -> dict[str, Any]:
        """Packing all contents, and packing only those that are neither patched nor references."""
        every, some = int(sizes[self.sampled].sum()), int(sizes[rest].sum())
        return {
            "bytes": round(every * scale),
            "saved_mib": (int(self.sampled.sum()) * PAGE_SIZE - every) * scale / MIB,
            "rest_bytes": round(some * scale),
            "saved_rest_mib": (int(rest.sum()) * PAGE_SIZE - some) * scale / MIB,
        }


def _pieces(sources: Sequence[Source]) -> Iterator[tuple[int, Piece]]:
    """All pieces of all dumps, each with the number of pages before it."""
    before = 0
    for source in sources:
        for piece in source.pieces():
            yield before, piece
            before += len(piece.numbers)


def _packed_sizes(contents: NDArray[np.uint8], sampled: NDArray[np.bool_], codec: compression.Codec) -> Sizes:
    """Bytes that each sampled page takes, packed; a page that does not become smaller stays as it is."""
    sizes = np.zeros(len(contents), np.uint16)
    for row in np.flatnonzero(sampled):
        sizes[row] = min(PAGE_SIZE, len(compression.compress(contents[row].tobytes(), codec)))
    return sizes
