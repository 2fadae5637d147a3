"""What is no memory is named and refused, whatever its size; memory of real guests never is."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import py_compile
import random
import shutil
import sqlite3
import struct
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from vmdedup.dump import checks, content_checks
from vmdedup.dump.formats import Format, kinds, recognise
from vmdedup.dump.open import open_dump
from vmdedup.errors import DumpError
from vmdedup.scan import scan_dumps

PAGE = 4096
NOISE = random.Random(1).randbytes(1 << 16)


def recognised(content: bytes) -> Format | None:
    """What the table says of a file with this content."""
    return recognise(lambda offset, length: content[offset : offset + length], len(content))


def whole_pages(content: bytes) -> bytes:
    """Content, and zeros up to whole pages, two at least: of a size that raw memory can have."""
    return content.ljust(max(2, -(-len(content) // PAGE)) * PAGE, b"\0")


def with_magic(kind: Format, filler: bytes) -> bytes:
    """A file of whole pages that has a magic in its place, and filler elsewhere."""
    needed = kind.offset + len(kind.magic) if kind.offset >= 0 else -kind.offset
    content = bytearray((filler * (needed // len(filler) + 2))[: max(2, -(-needed // PAGE)) * PAGE])
    at = kind.offset % len(content)
    content[at : at + len(kind.magic)] = kind.magic
    return bytes(content)


def test_whatever_begins_with_a_known_magic_is_refused(tmp_path: Path) -> None:
    """Of every line of the table: named by what it is or by another line that fits, and refused with a remedy."""
    path = tmp_path / "x"
    names = set()
    for kind in kinds():
        if kind.reader or kind.check:
            continue
        for filler in (NOISE, bytes(PAGE)):
            found = recognised(with_magic(kind, filler))
            assert found is not None, kind.magic
            assert found.remedy or found.reader, kind.magic
            names.add(found.what)
    assert {
        "a tar archive",
        "a swap area of Linux",
        "a qcow2 disk",
        "a VMware suspend state",
        "a PDF document",
    } <= names
    for kind in random.Random(2).sample([kind for kind in kinds() if not (kind.reader or kind.check)], 40):
        path.write_bytes(with_magic(kind, NOISE))
        with pytest.raises(DumpError, match=r"x: is .*; .*name it raw:"):
            open_dump(path)
        with pytest.raises(DumpError, match=r"x: is .*; .*name it raw:"):
            scan_dumps([path])
        assert scan_dumps([f"raw:{path}"]).total["pages"] == path.stat().st_size // PAGE


def test_every_check_is_there() -> None:
    for kind in kinds():
        assert not kind.check or hasattr(checks, kind.check) or hasattr(content_checks, kind.check), kind.check
        assert len(kind.magic) > 1 or kind.check, kind.magic


def mbr() -> bytes:
    """A disk with one partition."""
    entry = bytes([0x80, 1, 1, 0, 0x83, 1, 1, 1]) + struct.pack("<II", 2048, 4096)
    return (bytes(446) + entry).ljust(510, b"\0") + b"\x55\xaa"


def ext() -> bytes:
    """The superblock of an ext file system of blocks of 4096."""
    block = bytearray(1024)
    struct.pack_into("<IIIIIII", block, 0, 64, 256, 0, 200, 50, 0, 2)
    struct.pack_into("<HH", block, 56, 0xEF53, 1)
    return bytes(1024) + bytes(block)


def tar(kind: int) -> bytes:
    """An archive of two dumps."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as archive:
        for name in ("vm1.raw", "vm2.raw"):
            about = tarfile.TarInfo(name)
            about.size = 3 * PAGE
            archive.addfile(about, io.BytesIO(NOISE[: about.size]))
    return buffer.getvalue()


def old_tar() -> bytes:
    """An archive of the kind before POSIX, without a magic."""
    header = bytearray(tar(tarfile.USTAR_FORMAT)[:512])
    header[257:] = bytes(255)
    header[148:156] = b" " * 8
    header[148:155] = b"%06o\0" % sum(header)
    return bytes(header) + NOISE[:8192]


def zipped() -> bytes:
    """A zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("vm1.raw", NOISE)
    return buffer.getvalue()


def parquet(frame: pl.DataFrame, write: Callable[[pl.DataFrame, io.BytesIO], object]) -> bytes:
    """A table as polars writes it."""
    buffer = io.BytesIO()
    write(frame, buffer)
    return buffer.getvalue()


def database(folder: Path) -> bytes:
    """An SQLite database."""
    with sqlite3.connect(folder / "db") as connection:
        connection.execute("create table t (a)")
    connection.close()
    return (folder / "db").read_bytes()


def bytecode(folder: Path) -> bytes:
    """A module of Python, compiled."""
    (folder / "m.py").write_text("x = 1\n")
    py_compile.compile(str(folder / "m.py"), str(folder / "m.pyc"), doraise=True)
    return (folder / "m.pyc").read_bytes()


def bmp() -> bytes:
    """A picture of one dot."""
    return b"BM" + struct.pack("<IIIIiiHHIIiiII", 58, 0, 54, 40, 1, 1, 1, 24, 0, 4, 0, 0, 0, 0) + bytes(4)


def array() -> bytes:
    """What NumPy saves."""
    buffer = io.BytesIO()
    np.save(buffer, np.arange(10))
    return buffer.getvalue()


TABLE = pl.DataFrame({"a": [1, 2, 3]})
TEXT = "".join(f"line {number} of a log, with a number {number * number}\n" for number in range(400)).encode()
LETTERS = "".join(f"{number}: Größe und Öffnung\n" for number in range(400))
# What it is, and what file(1) calls it, in part; "": nothing.
FILES: dict[str, tuple[Callable[[Path], bytes], str, str]] = {
    "tar": (lambda folder: tar(tarfile.GNU_FORMAT), "a tar archive", "tar archive"),
    "pax": (lambda folder: tar(tarfile.PAX_FORMAT), "a tar archive", "tar archive"),
    "old tar": (lambda folder: old_tar(), "a tar archive", "tar archive"),
    "zip": (lambda folder: zipped(), "a zip archive", "Zip archive"),
    "gzip": (lambda folder: gzip.compress(NOISE), "compressed (gzip)", "gzip"),
    "bzip2": (lambda folder: bz2.compress(NOISE), "compressed (bzip2)", "bzip2"),
    "xz": (lambda folder: lzma.compress(NOISE), "compressed (xz)", "XZ"),
    "lzma": (lambda folder: lzma.compress(NOISE, lzma.FORMAT_ALONE), "compressed (lzma)", "LZMA"),
    "zlib": (lambda folder: zlib.compress(NOISE), "compressed with zlib", "zlib"),
    "sqlite": (database, "an SQLite database", "SQLite"),
    "pickle": (lambda folder: pickle.dumps(list(range(5000)), 4), "a pickle", ""),
    "bytecode": (bytecode, "compiled Python", "ython"),
    "arrow": (lambda folder: parquet(TABLE, pl.DataFrame.write_ipc), "an Arrow table", ""),
    "avro": (lambda folder: parquet(TABLE, pl.DataFrame.write_avro), "an Avro table", "Avro"),
    "numpy": (lambda folder: array(), "a NumPy array", "NumPy"),
    "text": (lambda folder: TEXT, "text", " text"),
    "utf-8": (lambda folder: LETTERS.encode(), "text", "UTF-8"),
    "latin-1": (lambda folder: LETTERS.encode("latin-1"), "text", "ISO-8859"),
    "utf-16": (lambda folder: LETTERS.encode("utf-16"), "text in UTF-16", "UTF-16"),
    "json": (lambda folder: json.dumps({"a": list(range(3000))}).encode(), "text", "JSON"),
    "script": (lambda folder: b"#!/bin/sh\n" + TEXT, "a script", "script"),
    "mbr": (lambda folder: mbr(), "a disk with a partition table", "boot sector"),
    "ext": (lambda folder: ext(), "an ext file system", "filesystem data"),
    "bmp": (lambda folder: bmp(), "a BMP picture", "bitmap"),
    "pnm": (lambda folder: b"P6\n16 16\n255\n" + NOISE[:768], "a PNM picture", "Netpbm"),
    "program": (
        lambda folder: b"MZ".ljust(60, b"\0") + struct.pack("<I", 4096) + NOISE,
        "a program",
        "executable",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_others_write(tmp_path: Path, name: str) -> None:
    make, what, called = FILES[name]
    content = make(tmp_path)
    path = tmp_path / "x"
    path.write_bytes(
        content if name in ("text", "utf-8", "latin-1", "utf-16", "json", "script") else whole_pages(content)
    )
    with pytest.raises(DumpError) as refused:
        open_dump(path)
    assert str(refused.value).startswith(f"{path}: is {what}")
    with pytest.raises(DumpError) as by_scan:
        scan_dumps([path])
    assert str(by_scan.value) == str(refused.value)
    if shutil.which("file") and called:
        said = subprocess.run(["file", "-b", path], capture_output=True, text=True, check=True).stdout
        assert called in said


def vectors() -> bytes:
    """A PC's first page: interrupt vectors into the BIOS, then the BIOS's own data."""
    page = bytearray(b"\x53\xff\x00\xf0" * 8 + b"\xa5\xfe\x00\xf0" + b"\x53\xff\x00\xf0" * 247).ljust(PAGE, b"\0")
    page[510:512] = b"\x55\xaa"  # as bad as it can be
    page[0x400:0x410] = b"\xf8\x03" + bytes(12) + b"\xc0\x9f"
    return bytes(page)


def device_tree() -> bytes:
    """An ARM machine's memory under QEMU's own firmware begins with the tree of its devices."""
    return struct.pack(">II", 0xD00DFEED, 0x100000).ljust(PAGE, b"\0") + NOISE * 32


def kernel(size: int) -> bytes:
    """An ARM64 kernel of so many bytes, which is a program of UEFI as well."""
    return b"MZ\0\x91" + struct.pack("<IQQ", 0, 0, size) + bytes(32) + b"ARM\x64" + struct.pack("<I", 64) + b"PE\0\0"


MEMORY = {
    "zeros": bytes(4 * PAGE),
    "PC": vectors() + NOISE,
    "ARM firmware": device_tree(),
    "ARM kernel": kernel(16 * PAGE).ljust(PAGE, b"\0") + NOISE * 4,
    "noise": NOISE,
    "poison": b"\x6b" * 2 * PAGE,
    "letters that repeat": b"page 12 " * PAGE,
    "text in zeros": b"a text that stands in memory\n".ljust(2 * PAGE, b"\0"),
}


@pytest.mark.parametrize("name", MEMORY)
def test_memory_is_never_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(MEMORY[name])
    assert recognised(MEMORY[name]) is None
    assert scan_dumps([path]).total["pages"] == len(MEMORY[name]) // PAGE
    with open_dump(path) as dump:
        assert dump.format == "raw"


def test_what_fills_the_file_is_what_its_beginning_says() -> None:
    """A kernel or a tree of devices by itself, where the same with memory behind it is memory."""
    assert recognised(whole_pages(kernel(16 * PAGE)))
    assert recognised(whole_pages(struct.pack(">II", 0xD00DFEED, 5000)))


@pytest.mark.parametrize("name", ["base.raw+diff.raw", "diff:base.raw", "folder"])
def test_snapshots_of_raw_memory_are_looked_at_too(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("base.raw").write_bytes(whole_pages(zipped()))
    Path("diff.raw").write_bytes(whole_pages(zipped()))
    Path("folder").mkdir()
    Path("folder", "vm.snap").write_bytes(struct.pack("<Q", 0x0710198486640000))
    Path("folder", "mem").write_bytes(whole_pages(zipped()))
    with pytest.raises(DumpError, match="is a zip archive"):
        open_dump(name)
