"""What a host keeps in other forms than whole pages, what that saves, and what guests paid to get it back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vmdedup.host.layout import (
    BLOCK_SHIFT,
    COMPRESSED,
    COUNT_MASK,
    FILLED,
    PATCHED,
    SWAPPED,
)
from vmdedup.host.memory import Host
from vmdedup.host.rebuild import frames_behind, kind_of_all
from vmdedup.policy.work import GUEST_PRICES_NS
from vmdedup.run.backend.counting import BreakCounter
from vmdedup.units import SECOND_NS

_FIELDS = {"cow_break": ("cow_ksm", "zero_cow"), "unpatch": ("unpatched",), "uncompress": ("uncompressed",)}
_FIELDS |= {"swap_in": ("swapped_in",)}
_COLUMNS = {"unpatch": "unpatched", "uncompress": "uncompressed", "swap_in": "swapped_in"}


class Forms:
    """Counts for the series of a run with a policy (result.columns.POLICY)."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._paid = {operation: BreakCounter(*fields) for operation, fields in _FIELDS.items()}

    def figures(self) -> Mapping[str, int | float]:
        """The columns, by name; exact while nobody runs."""
        return forms_on(self._host) | self._costs()

    def stored(self) -> NDArray[np.float64]:
        """See stored_on."""
        return stored_on(self._host)

    def _costs(self) -> dict[str, int | float]:
        times = {operation: counter.total(self._host) for operation, counter in self._paid.items()}
        bill = sum(GUEST_PRICES_NS[operation] * count for operation, count in times.items())
        return {column: times[operation] for operation, column in _COLUMNS.items()} | {
            "guests_cost_s": bill / SECOND_NS
        }


@dataclass(frozen=True)
class _Packed:
    """Entries of pages by kind (int64[n] each); frames of packed bytes and of references that no page maps."""

    entries: Mapping[int, NDArray[np.int64]]
    storage: NDArray[np.int32]
    references: NDArray[np.int32]
    mapped: NDArray[np.bool_]  # by frame


def _packed(host: Host) -> _Packed:
    arrays = host.arrays
    kinds = kind_of_all(arrays.pte)
    entries = {kind: np.flatnonzero(kinds == kind) for kind in (PATCHED, COMPRESSED, SWAPPED, FILLED)}
    mapped = np.zeros(len(arrays.frames), np.bool_)
    mapped[frames_behind(arrays.pte)] = True
    packed = np.concatenate((entries[PATCHED], entries[COMPRESSED]))
    storage = _other(arrays.slots["frame"][packed], mapped)
    return _Packed(entries, storage, _other(arrays.slots["reference"][entries[PATCHED]], mapped), mapped)


def _other(frames: NDArray[np.int32], mapped: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The different frames among these that no page maps."""
    return np.unique(frames[~mapped[frames]])


def forms_on(host: Host) -> dict[str, int | float]:
    """Pages by form, the frames behind them, and what each technique saves."""
    found = _packed(host)
    patched, compressed = found.entries[PATCHED], found.entries[COMPRESSED]
    lengths = host.arrays.slots["length"]
    patch_bytes, compressed_bytes = (int(lengths[e].sum(dtype=np.int64)) for e in (patched, compressed))
    a_byte = len(found.storage) / max(1, patch_bytes + compressed_bytes)
    return {
        "patched_pages": len(patched),
        "compressed_pages": len(compressed),
        "swapped_pages": len(found.entries[SWAPPED]),
        "filled_pages": len(found.entries[FILLED]),
        "patch_bytes": patch_bytes,
        "compressed_bytes": compressed_bytes,
        "storage_frames": len(found.storage),
        "reference_frames": len(found.references),
        "held_frames": _held(host, found),
        "patch_saved_pages": round(len(patched) - a_byte * patch_bytes - len(found.references), 3),
        "compress_saved_pages": round(len(compressed) - a_byte * compressed_bytes, 3),
    }


def _held(host: Host, found: _Packed) -> int:
    """Frames in use that neither a page nor a slot accounts for; the pool is not in use."""
    held = (host.arrays.frames & COUNT_MASK != 0) & ~found.mapped
    held[0] = False
    held[host.arrays.pool] = False
    held[found.storage] = held[found.references] = False
    return int(held.sum())


def stored_on(host: Host) -> NDArray[np.float64]:
    """Frames behind each guest's pages in other forms: storage by bytes, references by patches. float64[mms]."""
    found = _packed(host)
    arrays = host.arrays
    patched = found.entries[PATCHED]
    packed = np.concatenate((patched, found.entries[COMPRESSED]))
    mms = len(arrays.mms)
    sizes = np.bincount(arrays.owners[packed >> BLOCK_SHIFT], arrays.slots["length"][packed], mms)
    stored = sizes * (len(found.storage) / max(1.0, float(sizes.sum())))
    references = arrays.slots["reference"][patched]
    users = np.bincount(references, minlength=len(arrays.frames))
    parts = np.where(found.mapped[references], 0.0, 1.0 / np.maximum(1, users[references]))
    stored += np.bincount(arrays.owners[patched >> BLOCK_SHIFT], parts, mms)
    return stored.astype(np.float64)
