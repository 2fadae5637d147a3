"""Contents of `fill` steps: bytes by the book, in blocks, and from files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from vmdedup.errors import ScriptError
from vmdedup.replay.content import BLOCK_PAGES, Content, FilePages, Key, Seed, Zero, file_pages, pages_of

MASK = (1 << 64) - 1
GOLDEN = Path(__file__).parent.parent / "golden"


def splitmix64(state: int) -> int:
    """One output, by Python's own integers."""
    z = state & MASK
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return z ^ z >> 31


def seed_page(seed: int) -> bytes:
    outputs = (splitmix64(seed + (j + 1) * 0x9E3779B97F4A7C15) for j in range(512))
    return b"".join(output.to_bytes(8, "little") for output in outputs)


def everything(content: Content, count: int, block: int = BLOCK_PAGES) -> list[bytes]:
    pages = [page.tobytes() for _, data in pages_of(content, 0, count - 1, block) for page in data]
    assert len(pages) == count
    return pages


def test_splitmix64_starts_as_published() -> None:
    assert splitmix64(0x9E3779B97F4A7C15) == 0xE220A8397B1DCDAF


@pytest.mark.parametrize("seed", [0, 1, 7, 1 << 63, MASK])
def test_seed_pages_equal_plain_arithmetic(seed: int) -> None:
    assert everything(Seed(seed), 3) == [seed_page(seed)] * 3
    assert everything(Seed(seed, 1), 3) == [seed_page(seed + i) for i in range(3)]


def test_keys_are_big_endian_and_count_up() -> None:
    assert everything(Key(0x0102030405060708), 2) == [bytes(range(1, 9)) + bytes(4088)] * 2
    assert [page[:8] for page in everything(Key(255, 1), 2)] == [bytes(7) + b"\xff", bytes(6) + b"\x01\x00"]
    assert everything(Key(MASK - 1, 1), 2)[1][:8] == b"\xff" * 8


def test_zero_pages_are_zero() -> None:
    assert everything(Zero(), 2) == [bytes(4096)] * 2


@pytest.mark.parametrize("content", [Zero(), Key(5), Key(5, 1), Seed(5), Seed(5, 1)])
def test_blocks_do_not_show(content: Content) -> None:
    assert everything(content, 10, block=3) == everything(content, 10)


def test_blocks_are_bounded_writable_and_say_where_they_go() -> None:
    blocks = list(pages_of(Seed(1, 1), 100, 106, block=3))
    assert [(first, data.shape[0]) for first, data in blocks] == [(100, 3), (103, 3), (106, 1)]
    for _, data in blocks:
        assert data.dtype == np.uint8
        assert data.shape[1] == 4096
        assert data.flags.c_contiguous
        data[0, 0] ^= 1
    assert blocks[0][1][1].tobytes() == seed_page(2)


def test_an_equal_content_is_stored_page_by_page() -> None:
    (_, data), *_ = pages_of(Seed(1), 0, 1)
    data[0, 0] ^= 1
    assert data[1].tobytes() == seed_page(1)


def test_file_pages_end_in_zeros(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"a" * 4096 + b"b" * 4096 + b"c")
    assert file_pages(path) == 3
    pages = [b"a" * 4096, b"b" * 4096, b"c" + bytes(4095)]
    assert everything(FilePages(path), 3) == pages
    assert everything(FilePages(path), 3, block=1) == pages
    assert everything(FilePages(path, 1), 2) == pages[1:]


def test_a_file_that_shrank_or_went_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(bytes(4096))
    with pytest.raises(ScriptError, match=r"ends before page 1; do not shorten it"):
        everything(FilePages(path), 2)
    path.unlink()
    with pytest.raises(ScriptError, match=r"cannot be opened: No such file or.*; give a file that stays readable"):
        everything(FilePages(path), 1)


def test_contents_hash_to_what_a_kernel_printed() -> None:
    recorded = json.loads((GOLDEN / "fork-by-hand.jsonl").read_text().splitlines()[-1])
    pages = everything(Seed(1, 1), 4) + everything(Zero(), 4)
    assert hashlib.sha256(b"".join(pages)).hexdigest() == recorded["digest"]["a"]
