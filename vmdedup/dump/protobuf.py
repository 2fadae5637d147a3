"""Fields of a protocol buffers message, as far as CRIU's images need them: numbers, and which others there are."""

from __future__ import annotations

from vmdedup.errors import DumpError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def fields(message: bytes) -> dict[int, int | None]:
    """The message's integers by field number, None for fields of other kinds; of a field given twice the last.

    DumpError: it is no message.

    Source: protocol buffers' documentation, "Encoding".
    """
    found: dict[int, int | None] = {}
    at = 0
    while at < len(message):
        key, at = varint(message, at)
        kind = key & 7
        found[key >> 3] = None
        if kind == VARINT:
            found[key >> 3], at = varint(message, at)
        elif kind == BYTES:
            length, at = varint(message, at)
            at += length
        elif kind in (FIXED64, FIXED32):
            at += 8 if kind == FIXED64 else 4
        else:
            raise DumpError(f"a field of unknown kind {kind}")
    if at > len(message):
        raise DumpError("a field that goes past its message's end")
    return found


def varint(message: bytes, at: int) -> tuple[int, int]:
    """The number at a byte, of at most 64 bits, and the byte after it."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, at
    raise DumpError("a number without an end")
