"""Hashes of pages that are kept while nobody stores to them, so that no page is read in vain. Kernels only.

SOFT is set by every store. A scanner clears it and then hashes the page: while SOFT is clear the hash holds. It has to
be forgotten when the address space ends, and before the page is shared, since that clears SOFT too, even where it fails
in the end. The papers' scanners read the page again; what they decide is the same.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.layout import PIN, SOFT
from vmdedup.jit.atomic import cas, load
from vmdedup.jit.kernel import kernel
from vmdedup.jit.page import hash_page

UNKNOWN = 0


@kernel
def is_known(h: Any, digests: Any, entry: int) -> bool:
    """Whether a page's hash is known and still holds. digests: int64[entries]."""
    return digests[entry] != UNKNOWN and not load(h.pte, entry) & (SOFT | PIN)


@kernel
def hash_anew(h: Any, digests: Any, entry: int, pfn: int) -> int:
    """Hash a page, and keep the hash unless its owner is at work on the page."""
    pte = load(h.pte, entry)
    quiet = not pte & PIN and cas(h.pte, entry, pte, pte & ~SOFT)
    digest: int = hash_page(h.words, pfn)
    digests[entry] = digest if quiet else UNKNOWN
    return digest
