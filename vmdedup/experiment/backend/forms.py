"""What a host keeps in other forms than whole pages, what that saves, and what guests paid to get it back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from vmdedup.experiment.backend.counting import BreakCounter
from vmdedup.host.layout import COMPRESSED, COUNT_MASK, FILLED, FRAME_MASK, FRAME_SHIFT, PATCHED, PRESENT, SWAPPED
from vmdedup.host.memory import Host
from vmdedup.host.rebuild import kind_of_all
from vmdedup.policy.work import GUEST_PRICES_NS
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

    def _costs(self) -> dict[str, int | float]:
        times = {operation: counter.total(self._host) for operation, counter in self._paid.items()}
        bill = sum(GUEST_PRICES_NS[operation] * count for operation, count in times.items())
        return {column: times[operation] for operation, column in _COLUMNS.items()} | {
            "guests_cost_s": bill / SECOND_NS
        }


def forms_on(host: Host) -> dict[str, int | float]:
    """Pages by form, the frames behind them, and what each technique saves."""
    arrays = host.arrays
    kinds = kind_of_all(arrays.pte)
    entries = {kind: np.flatnonzero(kinds == kind) for kind in (PATCHED, COMPRESSED, SWAPPED, FILLED)}
    mapped = np.zeros(len(arrays.frames), np.bool_)
    present = arrays.pte[(arrays.pte & PRESENT) != 0]
    mapped[(present >> FRAME_SHIFT) & FRAME_MASK] = True
    packed = np.concatenate((entries[PATCHED], entries[COMPRESSED]))
    storage = _other(arrays.slots["frame"][packed], mapped)
    references = _other(arrays.slots["reference"][entries[PATCHED]], mapped)
    held = (arrays.frames & COUNT_MASK != 0) & ~mapped
    held[0] = False
    held[storage] = held[references] = False
    slots = arrays.slots["length"]
    lengths = {kind: int(slots[entries[kind]].astype(np.int64).sum()) for kind in (PATCHED, COMPRESSED)}
    whole = max(1, sum(lengths.values()))
    patches, compressed = (len(storage) * lengths[kind] / whole for kind in (PATCHED, COMPRESSED))
    return {
        "patched_pages": len(entries[PATCHED]),
        "compressed_pages": len(entries[COMPRESSED]),
        "swapped_pages": len(entries[SWAPPED]),
        "filled_pages": len(entries[FILLED]),
        "patch_bytes": lengths[PATCHED],
        "compressed_bytes": lengths[COMPRESSED],
        "storage_frames": len(storage),
        "reference_frames": len(references),
        "held_frames": int(held.sum()),
        "patch_saved_pages": round(len(entries[PATCHED]) - patches - len(references), 3),
        "compress_saved_pages": round(len(entries[COMPRESSED]) - compressed, 3),
    }


def _other(frames: NDArray[np.int32], mapped: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The different frames among these that no page maps."""
    return np.unique(frames[~mapped[frames]])
