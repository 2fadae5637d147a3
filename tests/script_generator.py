"""Random KSM scripts, as vmdedup.conform has them, and files that they fill pages from.

python tests/script_generator.py SEED SIZE     writes SIZE-SEED.ksm, and what it reads, into the current folder
"""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

from vmdedup.conform.generator import generate
from vmdedup.units import PAGE_SIZE

FILE = "pages.bin"
FILE_PAGES = 24


def generate_into(folder: Path, seed: int, size: str | int = "small") -> Path:
    """Write a random script that may use a file, and that file, into a folder; return the script's path."""
    (folder / FILE).write_bytes(sample_file(seed))
    path = folder / f"{size}-{seed}.ksm"
    path.write_text(generate(seed, size, {FILE: FILE_PAGES}), encoding="utf-8")
    return path


def sample_file(seed: int) -> bytes:
    """Return FILE_PAGES pages for a script's files: a few contents, zeros among them, the last page short."""
    random = Random(f"ksm file {seed}")
    contents = [bytes(PAGE_SIZE), *(random.randbytes(PAGE_SIZE) for _ in range(6))]
    pages = b"".join(random.choices(contents, k=FILE_PAGES))
    return pages[: -random.randrange(1, PAGE_SIZE)]


if __name__ == "__main__":
    print(generate_into(Path(), int(sys.argv[1]), sys.argv[2]))
