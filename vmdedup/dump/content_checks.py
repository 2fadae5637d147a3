"""What is looked at beyond a short magic in documents, pictures, sound and programs; see checks.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmdedup.dump.checks import big, kernel_image, little
from vmdedup.units import PAGE_SIZE

if TYPE_CHECKING:
    from vmdedup.dump.formats import Look


# Documents


def pickle(look: Look, size: int) -> bool:
    """A protocol with a frame that fits, or an older one that begins as data do."""
    protocol = little(look, 1, 1)
    if protocol in (4, 5):
        return look(2, 1) == b"\x95" and 0 < little(look, 3, 8) <= size
    return protocol in (2, 3) and look(2, 1) in (b"}", b"]", b"c", b"(", b")", b"X", b"\x8a")


def safetensors(look: Look, size: int) -> bool:
    """A header of JSON that fits."""
    return 2 <= little(look, 0, 8) <= min(size - 8, 100 << 20)


def der(look: Look, size: int) -> bool:
    """A sequence as long as the file, that begins with a sequence or a number."""
    return (
        big(look, 2, 2) + 4 + PAGE_SIZE > PAGE_SIZE
        and size - PAGE_SIZE < big(look, 2, 2) + 4 <= size
        and look(4, 1) in (b"\x30", b"\x02")
    )


def openpgp(look: Look, size: int) -> bool:
    """A packet of version 3 or 4, of usual length, of an algorithm that there is."""
    length, version, algorithm = big(look, 1, 2), little(look, 3, 1), little(look, 8, 1)
    return 64 <= length <= 4096 and version in (3, 4) and algorithm in (1, 2, 3, 16, 17, 18, 19, 20, 22)


def dbase(look: Look, size: int) -> bool:
    """A version, a date, records that take as much room as the file has."""
    version, month, day = little(look, 0, 1), little(look, 2, 1), little(look, 3, 1)
    records, header, row = little(look, 4, 4), little(look, 8, 2), little(look, 10, 2)
    known = version in (0x02, 0x03, 0x30, 0x31, 0x32, 0x43, 0x83, 0x8B, 0xF5)
    whole = header >= 32 and row > 1 and size - PAGE_SIZE < header + records * row <= size
    return known and 1 <= month <= 12 and 1 <= day <= 31 and whole


_TEXT = bytes((*range(0x20, 0x7F), *b"\t\n\r\f\b\x1b"))
LEAST_KINDS = 12  # of letters in a page of text; fewer are a pattern


def text(look: Look, size: int) -> bool:
    """The first page and the last are lines of text: not of memory, which begins with vectors, zeros or code."""
    first, last = look(0, PAGE_SIZE), look(max(size - PAGE_SIZE, 0), PAGE_SIZE).rstrip(b"\0\x1a")
    lines = len(set(first)) >= LEAST_KINDS and (b"\n" in first or first[:1] in b"{[<")
    return lines and _is_text(first) and _is_text(last)


def utf16(look: Look, size: int) -> bool:
    """Text in two bytes each."""
    order = "utf-16-le" if look(0, 1) == b"\xff" else "utf-16-be"
    try:
        decoded = look(2, PAGE_SIZE - 2).decode(order)
    except UnicodeDecodeError as error:
        decoded = look(2, error.start - error.start % 2).decode(order) if error.start > PAGE_SIZE - 8 else "\0"
    return all(letter.isprintable() or letter in "\t\n\r\f" for letter in decoded)


def _is_text(page: bytes) -> bool:
    """Whether bytes are text in ASCII, UTF-8 or Latin-1, most of it ASCII."""
    odd = page.translate(None, _TEXT)
    if not odd:
        return True
    if len(odd) * 2 > len(page) or min(odd) < 0x80:
        return False
    try:
        page.decode()
    except UnicodeDecodeError as error:
        at_ends = error.start < 4 or error.start > len(page) - 4  # a letter that the page cuts in two
        return (at_ends and b"\n" in page) or (min(odd) >= 0xA0 and len(odd) * 4 < len(page))
    return True


def _printable(content: bytes) -> bool:
    return not content.translate(None, _TEXT)


# Pictures and sound


def bmp(look: Look, size: int) -> bool:
    """A header's length that there is, and one plane."""
    return little(look, 14, 4) in (12, 40, 52, 56, 64, 108, 124) and not any(look(6, 4))


def icon(look: Look, size: int) -> bool:
    """Pictures, the first of which lies in the file."""
    count, length, offset = little(look, 4, 2), little(look, 14, 4), little(look, 18, 4)
    return 0 < count < 256 and look(9, 1) == b"\0" and 0 < length <= size and 6 + 16 * count <= offset <= size - length


def pcx(look: Look, size: int) -> bool:
    """A version, packed, 1 to 8 bits, a reserved byte of zero."""
    head = look(0, 65)
    return len(head) == 65 and head[1] in (0, 2, 3, 4, 5) and head[2] == 1 and head[3] in (1, 2, 4, 8) and not head[64]


def sgi(look: Look, size: int) -> bool:
    """Packed or not, one or two bytes, one to three dimensions."""
    return little(look, 2, 1) < 2 and look(3, 1) in (b"\1", b"\2") and 1 <= big(look, 4, 2) <= 3


def pnm(look: Look, size: int) -> bool:
    """A kind, a blank, a number or a comment."""
    head = look(1, 3)
    return head[:1] in b"123456" and head[1:2] in b"\n \t\r" and (head[2:].isdigit() or head[2:] == b"#")


def mpeg_audio(look: Look, size: int) -> bool:
    """A frame's header, and another one where that frame ends."""
    length = _frame(look(0, 4))
    return bool(length) and bool(_frame(look(length, 4))) and look(length, 2) == look(0, 2)


_RATES = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)


def _frame(head: bytes) -> int:
    """The length of a frame of MPEG 1 layer 3 in bytes; 0: it is none."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xFE != 0xFA or head[2] >> 4 in (0, 15) or head[2] >> 2 & 3 == 3:
        return 0
    frequency = (44100, 48000, 32000)[head[2] >> 2 & 3]
    return 144000 * _RATES[head[2] >> 4] // frequency + (head[2] >> 1 & 1)


def transport_stream(look: Look, size: int) -> bool:
    """Packets one after the other."""
    return all(look(188 * number, 1) == b"\x47" for number in range(1, 20))


def truetype(look: Look, size: int) -> bool:
    """Tables, and numbers that follow from how many they are."""
    count = big(look, 4, 2)
    power = 1 << max(count.bit_length() - 1, 0)
    return 0 < count < 256 and big(look, 6, 2) == 16 * power and big(look, 10, 2) == 16 * (count - power)


def jpeg_xl(look: Look, size: int) -> bool:
    """A picture of no size is none."""
    return any(look(2, 4)) and look(2, 1) != b"\xff"


# Programs


def portable_executable(look: Look, size: int) -> bool:
    """Unless it is memory that begins with a kernel, which is longer than the kernel."""
    if look(56, 4) == b"ARM\x64" or look(48, 5) == b"RISCV":
        return kernel_image(look, size)
    return True


def script(look: Look, size: int) -> bool:
    """The path of an interpreter."""
    line = look(2, 128).split(b"\n")[0]
    return line.lstrip()[:1] == b"/" and _printable(line)


def compiled_python(look: Look, size: int) -> bool:
    """A version's number, line ends as marks, flags, and code."""
    head = look(0, 17)
    if len(head) < 17 or head[2:4] != b"\r\n":
        return False
    return head[1] in (0x0C, 0x0D, 0x0E, 0x0F) and head[4] < 4 and not any(head[5:8]) and head[16] & 0x7F == ord("c")


def coff(look: Look, size: int) -> bool:
    """Sections, symbols in the file, no optional header."""
    sections, symbols, optional = little(look, 2, 2), little(look, 8, 4), little(look, 16, 2)
    return 0 < sections < 4096 and 0 < symbols < size and optional in (0, 28)


def a_out(look: Look, size: int) -> bool:
    """A magic of Linux or BSD with a machine, and sections that fit in the file."""
    magic = little(look, 0, 4)
    linux = magic & 0xFFFF in (0o407, 0o410, 0o413, 0o314) and magic >> 16 & 0xFF in (100, 134, 135, 1, 2, 3)
    text, data = little(look, 4, 4), little(look, 8, 4)
    return linux and 0 < text <= size and data <= size and text % 4 == 0


def xcoff(look: Look, size: int) -> bool:
    """Sections, and an optional header of usual size."""
    return 0 < big(look, 2, 2) < 256 and big(look, 16, 2) in (0, 28, 72, 110, 120)


def ruby_marshal(look: Look, size: int) -> bool:
    """A kind of object."""
    return look(2, 1) in (b"[", b"{", b"o", b'"', b"I", b":", b"S")


def terminfo(look: Look, size: int) -> bool:
    """Names, and tables that fit."""
    names, flags, numbers, strings = (little(look, at, 2) for at in (2, 4, 6, 8))
    return 0 < names < 512 and flags < 64 and numbers < 128 and 0 < strings < 1024
