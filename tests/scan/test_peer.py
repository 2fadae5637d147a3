"""Counts of a scan and of duperemove, which hashes files in blocks of 4096 bytes, on the same dumps."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from kit.scan_oracle import PAGE, page
from vmdedup.scan import scan_dumps

COMMAND = ["duperemove", "-b", "4096", "--dedupe-options=partial,nofiemap"]


def hashes(folder: Path, paths: list[Path]) -> list[bytes]:
    """duperemove's digest of every block of these files."""
    database = folder / f"{paths[0].name}.db"
    subprocess.run([*COMMAND, f"--write-hashes={database}", *paths], check=True, capture_output=True, timeout=120)
    with closing(sqlite3.connect(database)) as connection:
        return [row[0] for row in connection.execute("select digest from hashes")]


def write(path: Path, pages: list[bytes]) -> Path:
    """A file with blocks on the disk: duperemove passes over others."""
    with path.open("wb") as file:
        file.write(b"".join(pages))
        os.fsync(file.fileno())
    return path


def test_the_same_counts(tmp_path: Path) -> None:
    if shutil.which(COMMAND[0]) is None:
        pytest.skip("duperemove is not installed; on Debian: apt-get install duperemove")
    zero = hashes(tmp_path, [write(tmp_path / "zero", [page(0)])])
    if len(zero) != 1:
        pytest.skip("duperemove does not hash files of this file system; set TMPDIR to a folder on a disk")
    draw = np.random.default_rng(1)
    dumps = [[page(int(n)) for n in draw.geometric(0.002, 2000) - 1] for _ in range(3)]
    paths = [write(tmp_path / f"{at}.raw", pages) for at, pages in enumerate(dumps)]
    digests = hashes(tmp_path, paths)
    total = scan_dumps(paths).total
    assert total["pages"] == len(digests) == 6000
    assert total["distinct"] == len(set(digests))
    assert total["sharing"] == len(digests) - len(set(digests))
    assert total["zero"] == digests.count(zero[0]) > 0
    assert hashlib.sha256(b"".join(dumps[0])).digest() == hashlib.sha256(paths[0].read_bytes()).digest()
    assert len(digests) * PAGE == sum(path.stat().st_size for path in paths)
