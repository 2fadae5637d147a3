"""Fingerprints of pages: 16 bytes each, XXH3-128, or a keyed hash of it where fingerprints are to leave the host.

Two different pages have the same fingerprint with a probability of 2^-128; that any two of n contents have it, of less
than n^2 * 2^-129: for the 2^28 pages of a TiB 2^-73. What is called exact here is exact but for that.

Whoever holds a page's content can look for an unsalted fingerprint of it. A salted one is BLAKE2b, with a key made of
the salt by scrypt, of the XXH3-128 with a seed made of the same: without the salt it says only which pages are equal.
Source: xxHash specification 0.2; RFC 7693, section 2.9; RFC 7914.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xxhash import xxh3_128_digest

from vmdedup.units import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE = 16  # bytes of a fingerprint
ZERO_PAGE = bytes(PAGE_SIZE)
SCRYPT_COST = 1 << 14
KEY_SIZE = 32
CONTEXT = b"vmdedup page fingerprints"


class Hasher:
    """Makes fingerprints. salt_id: names the salt without giving it away; None: fingerprints are not salted."""

    def __init__(self, salt: str | None = None) -> None:
        self.salt_id: str | None = None
        self.digest: Callable[[bytes | memoryview], bytes] = xxh3_128_digest
        if salt is not None:
            self.salt_id, self.digest = _salted(salt)
        self.zero = self.digest(ZERO_PAGE)

    def pages(self, content: bytes | memoryview) -> list[bytes]:
        """Fingerprints of so many whole pages, one after the other."""
        view = memoryview(content)
        return list(map(self.digest, [view[at : at + PAGE_SIZE] for at in range(0, len(view), PAGE_SIZE)]))


def random_salt() -> str:
    """A salt that nobody knows."""
    import secrets

    return secrets.token_hex(32)


def _salted(salt: str) -> tuple[str, Callable[[bytes | memoryview], bytes]]:
    """The salt's name and its hash."""
    from hashlib import blake2b, scrypt

    made = scrypt(salt.encode(), salt=CONTEXT, n=SCRYPT_COST, r=8, p=1, dklen=KEY_SIZE + 16)
    key, seed, name = made[:KEY_SIZE], int.from_bytes(made[KEY_SIZE : KEY_SIZE + 8], "little"), made[KEY_SIZE + 8 :]

    def digest(page: bytes | memoryview) -> bytes:
        return blake2b(xxh3_128_digest(page, seed), digest_size=SIZE, key=key).digest()

    return name.hex(), digest
