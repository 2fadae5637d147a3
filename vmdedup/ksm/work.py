"""What ksmd has done, by operation of the price list (prices.py).

Counted is what the kernel's ksmd does for the same decisions, whatever is spared here: it hashes every page that is not
merged, at each visit, and reads pages to compare them.
"""

from __future__ import annotations

from typing import Final

from vmdedup.ksm.layout import KsmArrays

# Operation by operation, the field of the state record that counts it.
_FIELDS: Final = {
    "visit": "pages_scanned",
    "absent": "absent",
    "skip": "pages_skipped",
    "hash_byte": "hashed",
    "stable_level": "stable_levels",
    "unstable_level": "unstable_levels",
    "compare_byte": "compared_bytes",
    "merge": "merged",
    "zero_merge": "zero_merged",
}
OPERATIONS: Final = ("batch", *_FIELDS)


def work_done(arrays: KsmArrays, page_size: int, batches: int) -> dict[str, int]:
    """How often each operation was done so far, by its name in the price list."""
    state = arrays.st[0]
    done = {"batch": batches} | {operation: int(state[field]) for operation, field in _FIELDS.items()}
    done["hash_byte"] *= page_size
    return done
