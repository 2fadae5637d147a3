"""What a `fill` step stores: contents as values, and their bytes as numpy blocks.

With i the page's index within the filled range, counted from 0, page i holds

    Zero()            4096 zero bytes
    Key(k, step)      k + i·step as 8 bytes, big-endian, then 4088 zero bytes
    Seed(s, step)     512 little-endian 64-bit words, SplitMix64 outputs of the state s + i·step
    FilePages(p, n)   page n + i of file p, a short last page filled up with zeros

step is 1 where the script has a `+` after the number, else 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import SEEK_END, FileIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import ScriptError
from vmdedup.inputs import open_input
from vmdedup.units import PAGE_SIZE

BLOCK_PAGES = 1024

_GAMMA = 0x9E3779B97F4A7C15
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_WORDS = PAGE_SIZE // 8

Pages = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Zero:
    """Zero bytes, stored."""


@dataclass(frozen=True, slots=True)
class Key:
    """Eight bytes that decide the order of pages; k + i·step stays below 2^64."""

    k: int
    step: int = 0


@dataclass(frozen=True, slots=True)
class Seed:
    """A page of SplitMix64 outputs; s is taken modulo 2^64."""

    s: int
    step: int = 0


@dataclass(frozen=True, slots=True)
class FilePages:
    """Pages of a file, from page `page` on."""

    path: Path
    page: int = 0


Content = Zero | Key | Seed | FilePages


def pages_of(content: Content, lo: int, hi: int, block: int = BLOCK_PAGES) -> Iterator[tuple[int, Pages]]:
    """Yield (first page, bytes) for the pages lo..hi (both included), at most `block` pages at a time.

    The bytes are uint8 (n, 4096), C-contiguous, and the caller's own. Page lo has index 0 in the content.
    ScriptError: a file that can no longer be read, or that ends before the page wanted.
    """
    for first in range(lo, hi + 1, block):
        yield first, _block(content, first - lo, min(block, hi + 1 - first))


def file_pages(path: Path, name: str | None = None) -> int:
    """Return how many pages a readable file holds, a short last one included. ScriptError: it cannot be read.

    name: as the error calls it.
    """
    with FileIO(open_input(path, name, ScriptError)) as file:
        return -(-file.seek(0, SEEK_END) // PAGE_SIZE)


def _block(content: Content, index: int, count: int) -> Pages:
    """Return the pages with indices index..index+count-1 of a content, uint8 (count, 4096)."""
    match content:
        case Zero():
            return np.zeros((count, PAGE_SIZE), np.uint8)
        case Key(k, step):
            return _key_pages(k + index * step, step, count)
        case Seed(s, step):
            return _seed_pages(s + index * step, step, count)
        case FilePages(path, page):
            return _file_pages(path, page + index, count)


def _key_pages(first: int, step: int, count: int) -> Pages:
    """Return pages that start with first, first+step, … as big-endian 64-bit numbers."""
    pages = np.zeros((count, PAGE_SIZE), np.uint8)
    pages.view(">u8")[:, 0] = _numbers(first, step, count)
    return pages


def _seed_pages(first: int, step: int, count: int) -> Pages:
    """Return pages of SplitMix64 outputs for the seeds first, first+step, … modulo 2^64.

    Source: Steele, Lea, Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA 2014, figure 16.
    """
    gammas = _numbers(_GAMMA, _GAMMA, _WORDS)
    seeds = _numbers(first, step, count if step else 1)
    z = seeds[:, np.newaxis] + gammas[np.newaxis, :]
    z ^= z >> np.uint64(30)
    z *= _MIX_1
    z ^= z >> np.uint64(27)
    z *= _MIX_2
    z ^= z >> np.uint64(31)
    pages = z.astype("<u8", copy=False).view(np.uint8)
    return pages if step else np.repeat(pages, count, axis=0)


def _file_pages(path: Path, first: int, count: int) -> Pages:
    """Return pages first..first+count-1 of a file, the short last one filled up with zeros."""
    pages = np.zeros(count * PAGE_SIZE, np.uint8)
    try:
        with FileIO(open_input(path, error=ScriptError)) as file:
            file.seek(first * PAGE_SIZE)
            got = _read_into(file, pages.data)
    except ScriptError as error:
        raise ScriptError(f"{error}; give a file that stays readable") from None
    except OSError as error:
        raise ScriptError(f"{path}: {error.strerror}; give a file that stays readable") from None
    if -(-got // PAGE_SIZE) < count:
        raise ScriptError(f"{path}: ends before page {first + count - 1}; do not shorten it during a replay")
    return pages.reshape(count, PAGE_SIZE)


def _read_into(file: FileIO, buffer: memoryview) -> int:
    """Read until the buffer is full or the file ends; return the number of bytes read."""
    got = 0
    while got < len(buffer) and (more := file.readinto(buffer[got:])):
        got += more
    return got


def _numbers(first: int, step: int, count: int) -> NDArray[np.uint64]:
    """Return first + i·step modulo 2^64 for i in 0..count-1 (array arithmetic wraps without a warning)."""
    mask = (1 << 64) - 1
    numbers = np.arange(count, dtype=np.uint64)
    numbers *= np.uint64(step & mask)
    numbers += np.uint64(first & mask)
    return numbers
