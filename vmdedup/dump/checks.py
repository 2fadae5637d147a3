"""What is looked at beyond a short magic, so that memory is not taken for something else.

Each check gets look(offset, length), the file's bytes there (fewer at its end), and the file's size in bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmdedup.dump.formats import Look

PAGE = 4096
TAR_BLOCK = 512


def little(look: Look, offset: int, length: int) -> int:
    """A number of so many bytes, the lowest first."""
    return int.from_bytes(look(offset, length), "little")


def big(look: Look, offset: int, length: int) -> int:
    """A number of so many bytes, the highest first."""
    return int.from_bytes(look(offset, length), "big")


# Compressed files and archives


def pack(look: Look, size: int) -> bool:
    """Its length unpacked is more than packed, and its tree has 1 to 24 levels."""
    return size // 2 < big(look, 2, 4) < 64 * size and 1 <= little(look, 6, 1) <= 24


def lzh(look: Look, size: int) -> bool:
    """A first block that has codes."""
    return big(look, 2, 2) > 0


def lzma(look: Look, size: int) -> bool:
    """A usual dictionary and a length that can be."""
    dictionary, length = little(look, 1, 4), little(look, 5, 8)
    usual = {power for n in range(12, 31) for power in (1 << n, 3 << n - 1)} | {0xFFFFFFFF}
    return dictionary in usual and (length == (1 << 64) - 1 or 0 < length < 1 << 38) and look(13, 1) == b"\0"


def arj(look: Look, size: int) -> bool:
    """A header of usual size, and its own header's."""
    return 30 <= little(look, 2, 2) <= 2600 and 30 <= little(look, 4, 1) <= 64


def lha(look: Look, size: int) -> bool:
    """A method such as -lh5-."""
    method = look(2, 5)
    return len(method) == 5 and method[4:] == b"-" and method[2:4].isalnum()


def old_cpio(look: Look, size: int) -> bool:
    """A mode of some kind of file, and a name's length."""
    order = "little" if look(0, 2) == b"\xc7\x71" else "big"
    mode, name = (int.from_bytes(look(at, 2), order) for at in (6, 20))  # type: ignore[arg-type]
    return mode >> 12 in (1, 2, 4, 6, 8, 10, 12) and 0 < name <= 4096


def arc(look: Look, size: int) -> bool:
    """A method, a name in letters that ends in zeros, and a length that fits."""
    name = look(2, 13).split(b"\0")[0]
    return (
        1 <= little(look, 1, 1) <= 9
        and 0 < len(name) < 13
        and name.isascii()
        and name.decode().isprintable()
        and 0 < little(look, 15, 4) <= size
    )


def ha(look: Look, size: int) -> bool:
    """Entries, and the first one's method."""
    return 0 < little(look, 2, 2) < 10000 and little(look, 4, 1) & 0xF0 == 0x20


def old_tar(look: Look, size: int) -> bool:
    """A tar of the old kind has no magic: the first header's sum must be right."""
    header = look(0, TAR_BLOCK)
    digits = header[148:156].strip(b" \0")
    if len(header) < TAR_BLOCK or not header[0] or not digits or not all(48 <= digit < 56 for digit in digits):
        return False
    return int(digits, 8) == sum(header[:148]) + sum(header[156:]) + 8 * 32


# Disks


def ext(look: Look, size: int) -> bool:
    """A superblock whose fields can be."""
    first, log, state, revision = (little(look, at, n) for at, n in ((1044, 4), (1048, 4), (1082, 2), (1100, 4)))
    return first <= 1 and log <= 6 and state < 64 and revision <= 1


def mbr(look: Look, size: int) -> bool:
    """At least one partition, and none that cannot be."""
    entries = [look(446 + 16 * number, 16) for number in range(4)]
    used = [entry for entry in entries if any(entry)]
    return bool(used) and all(
        entry[0] in (0, 0x80) and entry[4] and any(entry[8:12]) and any(entry[12:16]) for entry in used
    )


def boot_sector(look: Look, size: int) -> bool:
    """The file does not begin with interrupt vectors, most of which lead into the BIOS, as a PC's memory does."""
    vectors = [look(4 * number, 4) for number in range(16)]
    in_bios = sum(vector[3] >= 0xC0 for vector in vectors)
    return in_bios < len(vectors) // 2


def hfs(look: Look, size: int) -> bool:
    """Blocks of whole sectors, and not none."""
    block = big(look, 1024 + 20, 4)
    return big(look, 1024 + 18, 2) > 0 and block > 0 and block % 512 == 0 and block <= 1 << 24


def minix(look: Look, size: int) -> bool:
    """One of its magics, and a superblock that fits."""
    old = little(look, 1040, 2) in (0x137F, 0x138F, 0x2468, 0x2478) and little(look, 1034, 2) < 3
    new = little(look, 1048, 2) in (0x4D5A, 0x4D6A) and little(look, 1052, 2) in (1024, 2048, 4096)
    inodes, maps = little(look, 1024, 2), little(look, 1028, 2)
    return inodes > 0 and (new or (old and 0 < maps < 64 and 0 < little(look, 1030, 2) < 4096))


def nilfs(look: Look, size: int) -> bool:
    """Revision 2 and a superblock of usual length."""
    return little(look, 1024, 4) == 2 and 200 <= little(look, 1032, 2) <= 1024


def jffs2(look: Look, size: int) -> bool:
    """A kind of node, and its length."""
    order = "little" if look(0, 1) == b"\x85" else "big"
    kind, length = (int.from_bytes(look(at, n), order) for at, n in ((2, 2), (4, 4)))  # type: ignore[arg-type]
    return kind in (0xE001, 0xE002, 0x2003, 0x2004, 0x2006, 0xE008, 0xE009) and 12 <= length <= 1 << 20


def zfs(look: Look, size: int) -> bool:
    """An uberblock in one of the first label's places."""
    magics = (b"\x0c\xb1\xba\0\0\0\0\0", b"\0\0\0\0\0\xba\xb1\x0c")
    return any(look(131072 + at, 8) in magics for at in range(0, 131072, 1024)) if size >= 1 << 18 else False


def apple_map(look: Look, size: int) -> bool:
    """Its first partition, too."""
    return look(512, 4) == b"PM\0\0"


def amiga(look: Look, size: int) -> bool:
    """Flags of a file system, and the sum of the boot block or none."""
    return little(look, 3, 1) < 8 and big(look, 8, 4) in (0, 880)


# What machines boot


def device_tree(look: Look, size: int) -> bool:
    """It is as long as the file: at the beginning of a guest's memory there often is one, but then memory follows."""
    return big(look, 4, 4) > size - PAGE


def kernel_image(look: Look, size: int) -> bool:
    """A kernel's own size is what it takes in memory; a file that is longer is memory that begins with a kernel."""
    return size <= max(little(look, 16, 8), 1 << 16)


def zimage(look: Look, size: int) -> bool:
    """The same of an ARM kernel, whose end stands in it."""
    order = "little" if look(36, 1) == b"\x18" else "big"
    start, end = (int.from_bytes(look(at, 4), order) for at in (40, 44))  # type: ignore[arg-type]
    return size <= max(end - start, 0) + (1 << 20)


def option_rom(look: Look, size: int) -> bool:
    """As long as it says."""
    return little(look, 2, 1) * 512 == size
