"""Page contents that benchmarks run on: arrays uint8 (pages, 4096)."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Pages = NDArray[np.uint8]
PAGE = 4096
SEED = 7
FILES = Path("/usr")
CORPUS = Path(__file__).parents[2] / "shared" / "corpus"


def random(pages: int) -> Pages:
    """Random pages, a quarter of them distinct, four copies of each in random order."""
    return _copies(_random_words(pages // 4), pages)


def prefix(pages: int) -> Pages:
    """The same, with the first 2 KiB of all pages alike."""
    words = _random_words(pages // 4)
    words[:, : PAGE // 16] = words[0, : PAGE // 16]
    return _copies(words, pages)


def real(pages: int) -> Pages:
    """Memory of real guests if there is any, else pages of this machine's files, each twice.

    Guests: raw images in the folder that GUEST_MEMORY names, or a corpus beside the checkout (CORPUS): every
    distinct page once in pages.bin.zst, and for each guest the numbers of its pages there (NAME.idx.u32).
    """
    folder = os.environ.get("GUEST_MEMORY")
    if folder:
        images = sorted(Path(folder).glob("*.raw"))
        memory: Pages = np.concatenate([np.fromfile(image, np.uint8).reshape(-1, PAGE) for image in images])
        return memory
    if (CORPUS / "pages.bin.zst").exists() and shutil.which("zstd"):
        return _corpus()
    distinct = np.zeros((pages // 2, PAGE), np.uint8)
    for row, page in zip(distinct, _file_pages(), strict=False):
        row[: len(page)] = np.frombuffer(page, np.uint8)
    twice: Pages = np.concatenate([distinct, distinct])
    return twice[:pages]


def _corpus() -> Pages:
    command = ["zstd", "-dcq", "--long=27", str(CORPUS / "pages.bin.zst")]
    packed = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    store: Pages = np.frombuffer(packed, np.uint8).reshape(-1, PAGE)
    rows = np.concatenate([np.fromfile(guest, "<u4") for guest in sorted(CORPUS.glob("*.idx.u32"))])
    return np.ascontiguousarray(store[rows], np.uint8)


def _random_words(count: int) -> NDArray[np.int64]:
    return np.random.default_rng(SEED).integers(0, 2**63 - 1, (count, PAGE // 8))


def _copies(distinct: NDArray[np.int64], pages: int) -> Pages:
    order = np.random.default_rng(SEED + 1).permutation(np.arange(pages) % len(distinct))
    copies: Pages = distinct[order].view(np.uint8)
    return copies


def _file_pages() -> Iterator[bytes]:
    for folder, _, names in sorted(os.walk(FILES)):
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_symlink() or not path.is_file():
                continue
            try:
                with path.open("rb") as file:
                    while page := file.read(PAGE):
                        yield page
            except OSError:
                continue


CONTENTS = {"random": random, "prefix": prefix, "real": real}
