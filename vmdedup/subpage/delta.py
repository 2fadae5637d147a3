"""Patches: a page as what differs from a reference page, which stays where it is.

lz4: runs copied from the reference or from the page so far, and runs of new bytes, as in xdelta's format without its
secondary compression (RFC 3284); an lz4 block that has the reference as its dictionary. zstd: the same with entropy
coding on top, as `zstd --patch-from` makes it. That also packs pages which have next to nothing in common with their
reference, so that patches take what compression should have. Neither has magic number or checksum. words: which 8-byte
words are others, and what they are; nothing that has moved is found, but that costs what comparing two pages costs.
Source: Gupta et al., Difference Engine, OSDI 2008, section 4.3 (xdelta); lz4's block format; RFC 8878.
"""

from __future__ import annotations

from typing import Final, Literal

import lz4.block
import numpy as np
import zstandard

from vmdedup.subpage.compression import MOST

Delta = Literal["lz4", "zstd", "words"]
DELTAS: Final[tuple[Delta, ...]] = ("lz4", "zstd", "words")
LEVEL = 3  # of zstd
CUT_OFF = 2048  # bytes; a larger patch is not worth its page. Source: Difference Engine, section 3.1.2


def patch(reference: bytes, page: bytes, kind: Delta = "lz4") -> bytes:
    """What makes the page of the reference; both of the same size. ValueError: no such kind."""
    if kind == "lz4":
        # lz4 takes no dictionary that lies where the page does.
        dictionary = bytearray(reference) if page is reference else reference
        return bytes(lz4.block.compress(page, mode="high_compression", store_size=False, dict=dictionary))
    if kind == "zstd":
        parameters = zstandard.ZstdCompressionParameters.from_level(
            LEVEL, source_size=len(page), dict_size=len(reference), **_FRAME
        )
        return zstandard.ZstdCompressor(compression_params=parameters, dict_data=_dictionary(reference)).compress(page)
    if kind == "words":
        return _patch_words(reference, page)
    raise ValueError(f"unknown kind of patch {kind!r}")


def unpatch(reference: bytes, patch: bytes, kind: Delta = "lz4") -> bytes:
    """The page. ValueError: no such kind; the patch was not made against this reference, or is damaged."""
    if kind not in DELTAS:
        raise ValueError(f"unknown kind of patch {kind!r}")
    try:
        page = _UNPATCH[kind](reference, patch)
    except (lz4.block.LZ4BlockError, zstandard.ZstdError) as error:
        raise ValueError(f"not a patch of this page: {error}") from None
    if len(page) != len(reference):
        raise ValueError(f"a patch of a page of {len(page)} bytes, against one of {len(reference)}")
    return page


def _unpatch_lz4(reference: bytes, patch: bytes) -> bytes:
    return bytes(lz4.block.decompress(patch, uncompressed_size=len(reference), dict=reference))


def _unpatch_zstd(reference: bytes, patch: bytes) -> bytes:
    unpacker = zstandard.ZstdDecompressor(dict_data=_dictionary(reference), format=zstandard.FORMAT_ZSTD1_MAGICLESS)
    return unpacker.decompress(patch, max_output_size=MOST)


def _patch_words(reference: bytes, page: bytes) -> bytes:
    words = np.frombuffer(page, np.uint64)
    which = np.flatnonzero(words != np.frombuffer(reference, np.uint64))
    return np.array([len(which), *which], "<u2").tobytes() + words[which].tobytes()


def _unpatch_words(reference: bytes, patch: bytes) -> bytes:
    page = np.frombuffer(reference, np.uint64).copy()
    count = (len(patch) - 2) // _WORD
    if len(patch) != 2 + _WORD * count or patch[:2] != count.to_bytes(2, "little"):
        raise ValueError(f"not a patch of this page: {len(patch)} bytes of words")
    which = np.frombuffer(patch, "<u2", count, 2)
    if (which >= len(page)).any():
        raise ValueError("not a patch of this page: words beyond its end")
    page[which] = np.frombuffer(patch, np.uint64, count, 2 + 2 * count)
    return page.tobytes()


_WORD = 10  # bytes of a word in a patch, after their number: its place, and what it is
_UNPATCH: Final = {"lz4": _unpatch_lz4, "zstd": _unpatch_zstd, "words": _unpatch_words}
_FRAME = {"format": zstandard.FORMAT_ZSTD1_MAGICLESS, "write_checksum": 0, "write_dict_id": 0, "write_content_size": 1}


def _dictionary(reference: bytes) -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict(reference, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
