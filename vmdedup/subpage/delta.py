"""Patches: a page as what differs from a reference page, which stays where it is.

A patch is a zstd frame that has the reference as its dictionary, as `zstd --patch-from` makes it, without magic number
and checksum. Difference Engine used xdelta; sizes are alike for pages, and this library is kept. Source: RFC 8878.
"""

from __future__ import annotations

import zstandard

from vmdedup.subpage.compression import MOST

LEVEL = 3
CUT_OFF = 2048  # bytes; a larger patch is not worth its page. Source: Difference Engine, section 3.1.2


def patch(reference: bytes, page: bytes) -> bytes:
    """What makes the page of the reference; both of the same size."""
    parameters = zstandard.ZstdCompressionParameters.from_level(
        LEVEL, source_size=len(page), dict_size=len(reference), **_FRAME
    )
    compressor = zstandard.ZstdCompressor(compression_params=parameters, dict_data=_dictionary(reference))
    return compressor.compress(page)


def unpatch(reference: bytes, patch: bytes) -> bytes:
    """The page. ValueError: the patch was not made against this reference, or is damaged."""
    unpacker = zstandard.ZstdDecompressor(dict_data=_dictionary(reference), format=zstandard.FORMAT_ZSTD1_MAGICLESS)
    try:
        page = unpacker.decompress(patch, max_output_size=MOST)
    except zstandard.ZstdError as error:
        raise ValueError(f"not a patch of this page: {error}") from None
    if len(page) != len(reference):
        raise ValueError(f"a patch of a page of {len(page)} bytes, against one of {len(reference)}")
    return page


_FRAME = {"format": zstandard.FORMAT_ZSTD1_MAGICLESS, "write_checksum": 0, "write_dict_id": 0, "write_content_size": 1}


def _dictionary(reference: bytes) -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict(reference, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
