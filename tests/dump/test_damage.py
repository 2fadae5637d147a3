"""Dumps that are cut, damaged or hostile: pages that were there, or one clear line."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path

import pytest

import fuzz_dumps
from kit import dump_writers as write
from kit.dump_contents import contents_of, refused
from kit.dump_writers_samples import FILES, FORMATS, KDUMP, MEMORY, PAGES, STREAM, write_sample
from vmdedup.dump import file, flattened
from vmdedup.dump.open import open_dump
from vmdedup.errors import DumpError

CASES = [(form, number) for form in FILES for number in range(len(FILES[form]))]


@pytest.mark.parametrize(("form", "number"), CASES)
def test_truncated(tmp_path: Path, form: str, number: int) -> None:
    """At any place: in headers, tables, contents. What can be read is what was there."""
    path = tmp_path / "dump"
    data = FILES[form][number]
    path.write_bytes(data)
    whole = contents_of(path)
    outcomes: set[type] = set()
    for size in sorted({*range(1, 140, 3), *range(140, len(data), 397), *range(len(data) - 40, len(data))}):
        path.write_bytes(data[:size])
        found = pages_or_refusal(path)
        outcomes.add(type(found))
        assert "\n" not in found if isinstance(found, str) else found.items() <= whole.items()
    assert str in outcomes


def pages_or_refusal(path: Path) -> dict[int, bytes] | str:
    """The contents, or the line with which they are refused."""
    try:
        return contents_of(path)
    except DumpError as error:
        return str(error)


@pytest.mark.parametrize("form", FORMATS)
def test_a_few_fuzzed_cases(tmp_path: Path, form: str) -> None:
    """The first cases of the fuzzer, which `python tests/fuzz_dumps.py` goes on with."""
    outcomes = {"pages": 0, "refused": 0}
    for case in range(150):
        folder = tmp_path / str(case)
        folder.mkdir()
        what, why = fuzz_dumps.run_case(form, 0, case, folder)
        assert what in outcomes, f"case {case}: {why}"
        outcomes[what] += 1
    assert all(outcomes.values()), outcomes


def test_the_fuzzer_sees_what_it_should(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path) -> None:
        raise ZeroDivisionError(path)

    monkeypatch.setattr(fuzz_dumps, "open_dump", broken)
    what, why = fuzz_dumps.run_case("raw", 0, 0, tmp_path)
    assert what == "finding"
    assert "ZeroDivisionError" in why


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "empty"),
        (bytes(5000), "no multiple of 4096"),
        (b"\x1f\x8b" + bytes(4094), "gunzip"),
        (b"QFI\xfb" + bytes(4092), "qcow2"),
        (b"PAGEDU64" + bytes(4088), "Windows"),
        (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\0" + bytes(46), "no core"),
        (b"\x7fELF\x09\x01\x01" + bytes(100), "ELF header"),
        (b"KDUMP   " + bytes(8184), "header"),
        (b"makedumpfile\0\0\0\0".ljust(4096, b"\0") + struct.pack(">qq", -1, -1), "of no dump"),
    ],
)
def test_what_is_no_dump(tmp_path: Path, data: bytes, match: str) -> None:
    (tmp_path / "d").write_bytes(data)
    refused(tmp_path / "d", match)


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    refused(tmp_path / "none", "No such file")
    refused(tmp_path, "directory without images")
    os.mkfifo(tmp_path / "fifo")
    refused(tmp_path / "fifo", "is a pipe and no file")
    refused("pid:x", "by its number")
    refused("x" * 5000, "too long")
    (tmp_path / "a").write_bytes(bytes(4096))
    refused(f"{tmp_path / 'a'}+{tmp_path / 'b'}", "No such file")
    (tmp_path / "b").write_bytes(bytes(8192))
    refused(f"{tmp_path / 'a'}+{tmp_path / 'b'}", "another size")


def elf_of(*segments: tuple[int, int, int, int]) -> bytes:
    """A core of segments (address, offset, bytes in the file, bytes in memory) and three pages at 4096."""
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 4, 62, 1, 0, 64, 0, 0, 64, 56, len(segments), 0, 0, 0)
    rows = [struct.pack("<IIQQQQQQ", 1, 6, at, 0, start, filed, size, 0) for start, at, filed, size in segments]
    return (head + b"".join(rows)).ljust(4096, b"\0") + PAGES[1] + PAGES[2] + PAGES[3]


HUGE = 1 << 63


@pytest.mark.parametrize(
    ("segments", "match"),
    [
        ([(4096, 4096, HUGE, HUGE)], "past the file's end"),
        ([(4096, HUGE, 4096, 4096)], "past the file's end"),
        ([(HUGE, 4096, 4096, HUGE + 4096)], "past every address"),
        ([(0, 4096, 4096, HUGE)], "TiB"),
        ([(4096, 4096, 0, 0)], "no memory in it"),
    ],
)
def test_hostile_elf(tmp_path: Path, segments: list[tuple[int, int, int, int]], match: str) -> None:
    (tmp_path / "d").write_bytes(elf_of(*segments))
    refused(tmp_path / "d", match)


def test_elf_segments_that_name_the_same_bytes_twice(tmp_path: Path) -> None:
    """As dumps with paging have it."""
    (tmp_path / "d").write_bytes(elf_of((4096, 4096, 12288, 12288), (8192, 8192, 4096, 4096)))
    assert contents_of(tmp_path / "d") == {1: PAGES[1], 2: PAGES[2], 3: PAGES[3]}


def test_elf_segments_that_begin_within_a_page(tmp_path: Path) -> None:
    (tmp_path / "d").write_bytes(elf_of((4096 - 96, 4096 - 96, 4096 + 96 + 100, 8192)))
    assert contents_of(tmp_path / "d") == {1: PAGES[1]}


def test_elf_of_too_many_segments(tmp_path: Path) -> None:
    data = bytearray(write.elf(MEMORY, many=True))
    data[64 + 44 : 64 + 48] = b"\xff\xff\xff\xff"
    (tmp_path / "d").write_bytes(data)
    refused(tmp_path / "d", "4294967295 segments")


def kdump_with(at: int, layout: str, value: int) -> bytes:
    """A kdump file with one field changed."""
    data = bytearray(KDUMP)
    struct.pack_into(layout, data, at, value)
    return bytes(data)


DESCRIPTORS = 4 * 4096


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (kdump_with(4096 + 96, "<Q", HUGE), "page numbers"),
        (kdump_with(436, "<I", 0xFFFFFFF0), "truncated"),
        (kdump_with(432, "<i", 0x7FFFF), "truncated"),
        (kdump_with(4096 + 12, "<i", 1), "split"),
        (kdump_with(DESCRIPTORS, "<q", HUGE - 1), "truncated"),
        (kdump_with(DESCRIPTORS, "<q", -4096), "truncated"),
        (kdump_with(DESCRIPTORS + 8, "<I", 0xFFFFFFFF), "page of more than"),
        (kdump_with(DESCRIPTORS + 12, "<I", 3), "unknown compression"),
    ],
)
def test_hostile_kdump(tmp_path: Path, data: bytes, match: str) -> None:
    (tmp_path / "d").write_bytes(data)
    refused(tmp_path / "d", match)


@pytest.mark.parametrize("codec", ["zlib", "lzo", "snappy", "zstd"])
@pytest.mark.parametrize("size", [4095, 4097, 1 << 20])
def test_pages_that_unpack_to_another_size(tmp_path: Path, codec: str, size: int) -> None:
    """Bombs, too, are stopped at a page."""
    data = bytearray(write.kdump({0: PAGES[2]}, codec))
    bomb = write.KDUMP_CODECS[codec][1](bytes(size))
    struct.pack_into("<qI", data, DESCRIPTORS, len(data), min(len(bomb), 4096))
    (tmp_path / "d").write_bytes(bytes(data) + bomb)
    refused(tmp_path / "d", codec if codec != "lzo" else "LZO")


def flat(*writes: tuple[int, int, bytes]) -> bytes:
    """A flattened file of writes (offset, length, bytes)."""
    body = b"".join(struct.pack(">qq", at, length) + data for at, length, data in writes)
    return b"makedumpfile".ljust(4096, b"\0") + body + struct.pack(">qq", -1, -1)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (flat((0, 1 << 40, b"")), "of no dump"),
        (flat((0, 0, b"")), "cannot be"),
        (flat((-8, 4, b"abcd")), "cannot be"),
        (flat((1 << 61, 4, b"abcd")), "far beyond"),
        (flat((0, 4, b"abcd"))[:-16], "of no dump"),
    ],
)
def test_hostile_flattened(tmp_path: Path, data: bytes, match: str) -> None:
    (tmp_path / "d").write_bytes(data)
    refused(tmp_path / "d", match)


def test_flattened_of_too_many_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d").write_bytes(write.flattened(KDUMP))
    monkeypatch.setattr(flattened, "MOST_OVERLAPPING", 5)
    refused(tmp_path / "d", "makedumpfile -R")
    monkeypatch.setattr(flattened, "MOST_WRITES", 5)
    refused(tmp_path / "d", "makedumpfile -R")


@pytest.mark.parametrize("form", ["lime", "avml"])
def test_hostile_ranges(tmp_path: Path, form: str) -> None:
    path = tmp_path / "d"
    data = FILES[form][0]
    for field in (struct.pack("<QQ", 0, HUGE - 1), struct.pack("<QQ", 8192, 4095), struct.pack("<QQ", 0, 2**64 - 1)):
        path.write_bytes(data[:8] + field + data[24:])
        refused(path)
    path.write_bytes(data + data)
    refused(path, "overlap")


def test_a_stream_of_huge_blocks(tmp_path: Path) -> None:
    path = tmp_path / "d"
    path.write_bytes(STREAM.replace((16 * 4096).to_bytes(8, "big"), HUGE.to_bytes(8, "big")))
    refused(path, "RAM block")
    total = (20 * 4096 | 4).to_bytes(8, "big")
    path.write_bytes(
        STREAM.replace(total, (HUGE + 4).to_bytes(8, "big")).replace(
            (16 * 4096).to_bytes(8, "big"), (HUGE - 4 * 4096).to_bytes(8, "big")
        )
    )
    refused(path, "TiB")


def test_a_sparse_file_beyond_all_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "MOST_PAGES", 1 << 20)
    write.sparse(tmp_path / "d", {}, (1 << 20) + 1)
    refused(tmp_path / "d", "TiB")


def test_criu_that_goes_in_circles(tmp_path: Path) -> None:
    write.criu(tmp_path / "a", {1: PAGES[1]}, parent=[2])
    (tmp_path / "a" / "parent").symlink_to(".")
    refused(tmp_path / "a", "lead back")


def test_criu_without_its_pages(tmp_path: Path) -> None:
    write.criu(tmp_path, {1: PAGES[1], 2: PAGES[2]})
    (tmp_path / "pages-3.img").write_bytes(PAGES[1])
    refused(tmp_path, "truncated")
    (tmp_path / "pages-3.img").unlink()
    refused(tmp_path, "No such file")


def test_cloud_hypervisor_state_that_is_none(tmp_path: Path) -> None:
    write_sample("cloud-hypervisor", 0, tmp_path)
    for text, match in (("{", "JSON"), ("[" * 100_000, "JSON"), ('{"memory_ranges": [3]}', "without gpa")):
        (tmp_path / "state.json").write_text(text)
        refused(tmp_path, match)
    (tmp_path / "state.json").write_text('{"memory_ranges": [{"gpa": 0, "length": 4096}]}')
    refused(tmp_path, "another size")


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    """No SIGBUS, as a mapped file would give."""
    path = tmp_path / "d"
    path.write_bytes(b"\1" * 4096 * 4000)
    with open_dump(path) as dump:
        blocks = list(dump.blocks())
        os.truncate(path, 4096)
        with pytest.raises(DumpError, match=re.escape("became shorter")):
            blocks[-1].load()
