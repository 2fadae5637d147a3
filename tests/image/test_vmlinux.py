"""A kernel's file: what is kept of it, what is given back, and how it is moved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kit.kernel_files import ADDRESS, PAGE, PAGES, PLACES, bzimage, content, elf
from vmdedup.errors import UsageError
from vmdedup.image.vmlinux import ALIGN, packed_pages, read_vmlinux


@pytest.mark.parametrize("packed", ["gzip", "xz", "zstd", "lz4"])
def test_a_kernel_is_unpacked_and_its_parts_are_told_apart(tmp_path: Path, packed: str) -> None:
    path = tmp_path / "kernel"
    path.write_bytes(bzimage(elf(), packed))
    kernel = read_vmlinux(path)
    assert (kernel.pages, kernel.address) == (PAGES, ADDRESS)
    assert kernel.content.tobytes() == content().ljust(PAGES * PAGE, b"\0")
    assert kernel.given_back == ((2 * PAGE, 3 * PAGE), (4 * PAGE, 6 * PAGE)), "the gap, and what was for the start"
    assert kernel.own == ((3 * PAGE, 4 * PAGE), (6 * PAGE, 8 * PAGE))
    assert tuple(tuple(places.tolist()) for places in kernel.moved) == PLACES


def test_a_kernel_is_moved_word_by_word(tmp_path: Path) -> None:
    path = tmp_path / "kernel"
    path.write_bytes(bzimage(elf(), "gzip"))
    kernel = read_vmlinux(path)
    moved, expected = kernel.relocated(3 * ALIGN), bytearray(kernel.content.tobytes())
    for places, size, sign in zip(PLACES, (8, 4, 4), (1, -1, 1), strict=True):
        for place in places:
            word = int.from_bytes(expected[place : place + size], "little") + sign * 3 * ALIGN
            expected[place : place + size] = (word % (1 << 8 * size)).to_bytes(size, "little")
    assert moved.tobytes() == bytes(expected)
    assert kernel.content.tobytes()[:PAGE] == content()[:PAGE], "what was read stays as it is"
    assert np.array_equal(kernel.relocated(0), kernel.content)


def test_what_the_boot_loader_loads_are_whole_pages(tmp_path: Path) -> None:
    path = tmp_path / "kernel"
    path.write_bytes(bzimage(elf(), "gzip"))
    loaded = packed_pages(path)
    assert loaded.shape[1] == PAGE
    assert loaded.tobytes().rstrip(b"\0") == path.read_bytes()[2 * 512 :].rstrip(b"\0")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"no kernel", "no boot header"),
        (bzimage(elf(), "none"), "its compression is not known"),
        (bzimage(b"\x7fELF" + bytes(200), "gzip"), "no ELF file of 64 bit"),
        (bzimage(b"text" * 99, "gzip"), "its payload is no ELF file"),
        (bzimage(elf(), "gzip")[:-200], "its payload does not lie in it"),
        (bzimage(elf()[:3000], "gzip"), "is no bzImage"),
        (bzimage(elf()[:-4] + b"\xff\xff\xff\xff", "gzip"), "its relocations lie beyond it"),
    ],
)
def test_what_is_no_kernel_is_refused_in_one_line(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "kernel"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"^[^\n]*$") as refused:
        read_vmlinux(path)
    assert said in str(refused.value)


def test_a_kernel_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_vmlinux(tmp_path / "none")
