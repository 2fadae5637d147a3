"""What tools write beside the formats' descriptions: each is counted as what it is, or refused with what to do."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from kit import dump_writers as write
from kit import dump_writers_odd as odd
from kit.dump_contents import contents, contents_of, refused
from kit.dump_writers_samples import MEMORY, PAGES, SOME_ABSENT, STREAM
from vmdedup.dump.open import open_dump
from vmdedup.dump.qemu import ELSEWHERE

A, B, C = PAGES[1], PAGES[2], PAGES[3]
ZEROS = bytes(4096)
MIB = 1 << 20


def counted(path: Path, data: bytes) -> tuple[dict[int, bytes], int]:
    """The pages of a dump of these bytes, and how many are absent."""
    path.write_bytes(data)
    with open_dump(path) as dump:
        return contents(dump), dump.absent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file for a dump."""
    return tmp_path / "dump"


def test_a_vmcore_with_the_kernels_text_twice(path: Path) -> None:
    """As /proc/vmcore has it: a segment of the text, and the same pages again among the RAM; offsets anywhere."""
    ram = (1, 0x100000, A + B + C + A + B, 5 * 4096, None)
    text = (1 << 63, 0x102000, C + A, 8192, None)
    odds = (2, 0x1000, A + B[:3072], 4096 + 3072, None)
    found = {1: A, 256: A, 257: B, 258: C, 259: A, 260: B}
    assert counted(path, odd.core([text, odds, ram])) == (found, 0)
    assert counted(path, odd.core([odds, ram, text])) == (found, 0)


def test_of_two_contents_of_one_physical_page_the_first_holds(path: Path) -> None:
    one, two = (1, 0x1000, A + A, 8192, None), (2, 0x2000, B + B, 8192, None)
    assert counted(path, odd.core([one, two]))[0] == {1: A, 2: A, 3: B}
    assert counted(path, odd.core([two, one]))[0] == {1: A, 2: B, 3: B}
    # What a segment does not have in the file is no content: another segment may have it.
    assert counted(path, odd.core([(1, 0x1000, A, 12288, None), two])) == ({1: A, 2: B, 3: B}, 0)


def test_virtual_addresses_do_not_overlap(path: Path) -> None:
    path.write_bytes(odd.core([(0x1000, 0, A + A, 8192, None), (0x2000, 0, B, 4096, None)]))
    refused(path, "overlap at address 0x2000")


def test_segments_without_a_physical_address(path: Path) -> None:
    """As /proc/kcore has its second views of memory, which may end nowhere; where none has one, virtual ones count."""
    ram = (1 << 47, 0x5000, A + B, 8192, None)
    view = (1 << 46, odd.NOWHERE, C, 4096, None)
    endless = (1 << 45, odd.NOWHERE, b"", 1 << 45, 1 << 50)
    assert counted(path, odd.core([view, ram, endless])) == ({5: A, 6: B}, 0)
    assert counted(path, odd.core([view, (1, 0, A, 4096, None)])) == ({0: A}, 0)
    assert counted(path, odd.core([view])) == ({(1 << 46) // 4096: C}, 0)


def test_a_narrow_core_without_physical_addresses(path: Path) -> None:
    """All ones are 32 there."""
    data = bytearray(write.elf({1: A, 9: B}, wide=False))
    struct.pack_into("<I", data, 52 + 2 * 32 + 12, 0xFFFFFFFF)
    assert counted(path, bytes(data)) == ({1: A}, 0)


def test_segments_with_nothing_in_the_file(path: Path) -> None:
    """Their place in the file says nothing: device memory in a vmcore, what gcore leaves out."""
    for place in (0, 1 << 62, (1 << 64) - 1):
        empty = (2, 0xFE000000, b"", 4 * 4096, place)
        assert counted(path, odd.core([(1, 0x1000, A + B, 8192, None), empty])) == ({1: A, 2: B}, 4)


def test_pages_in_two_segments_that_touch(path: Path) -> None:
    """Firmware's memory map has entries that end within a page, and the kernel goes on in the next."""
    whole = A + B + C
    parts = [(1, 0x1000, whole[:5000], 5000, None), (2, 0x1000 + 5000, whole[5000:], len(whole) - 5000, None)]
    assert counted(path, odd.core(parts)) == ({1: A, 2: B, 3: C}, 0)
    apart = [parts[0], (2, 0x1000 + 5001, whole[5001:], len(whole) - 5001, None)]
    assert counted(path, odd.core(apart)) == ({1: A, 3: C}, 0)


def test_a_core_that_a_full_disk_cut(path: Path) -> None:
    """makedumpfile -E marks it in e_flags, and leaves the headers that it did not get to as zeros."""
    segments = [(1, 0x1000, A + B, 8192, None), (2, 0x9000, C + A + B, 12288, None)]
    data = odd.core(segments, flags=1)
    cut = len(data) - 4096 - 100
    assert counted(path, data[:cut]) == ({1: A, 2: B, 9: C}, 2)
    rows = 64 + 2 * 56
    assert counted(path, data[:rows] + bytes(56) + data[rows + 56 : cut]) == ({1: A, 2: B}, 0)
    path.write_bytes(odd.core(segments)[:cut])
    refused(path, "truncated")


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("machine_numbers", [False, True])
def test_a_xen_core(path: Path, order: str, machine_numbers: bool) -> None:
    path.write_bytes(odd.xen(MEMORY, order, machine_numbers, padding=3))
    with open_dump(path) as dump:
        assert dump.format == "xen"
        assert contents(dump) == MEMORY
        assert dump.absent == 0
        assert [(region.first, region.pages) for region in dump.regions] == [(0, 6), (9, 2), (1000, 4)]


def test_xen_cores_that_are_none(path: Path) -> None:
    path.write_bytes(odd.xen(MEMORY, form=1 << 32))
    refused(path, "format 1")
    path.write_bytes(odd.xen(MEMORY).replace(b".xen_pfn", b".xen_pfm"))
    refused(path, "neither section")
    path.write_bytes(odd.xen({}, padding=2))
    refused(path, "no memory in it")
    path.write_bytes(odd.xen(MEMORY).replace((1003).to_bytes(8, "little"), (1002).to_bytes(8, "little")))
    refused(path, "stands twice")


def test_avml_ends_ranges_one_byte_early(path: Path) -> None:
    """The last page lacks a byte that nothing tells: it is left out."""
    data = A + B + C
    blocks: list[tuple[int, int, bytes | None]] = [(0x1000, 12287, data[:-1]), (0x9000, 8191, (ZEROS + A)[:-1])]
    for magic in (b"AVML", b"EMiL"):
        assert counted(path, odd.avml(blocks, magic)) == ({1: A, 2: B, 9: ZEROS}, 0)


def test_avml_cuts_ranges_within_pages(path: Path) -> None:
    """A range that begins within a page is cut every 16 MiB, within pages too: such pages are whole all the same."""
    block = 16 * MIB
    data = (A + B + C) * (block // 12288 + 2)
    first, size = 0x200018, block + 8192
    data = data[0x18:][:size]
    blocks: list[tuple[int, int, bytes | None]] = [(first, block, data[:block]), (first + block, 8192, data[block:])]
    found, absent = counted(path, odd.avml(blocks))
    assert absent == 0
    assert found == {0x201 + n: (B, C, A)[n % 3] for n in range(size // 4096 - 1)}


def test_zeros_that_avml_leaves_out(path: Path) -> None:
    """Whole blocks of 16 MiB: some versions write their header alone; what blocks beside them tell is no hole."""
    block = 16 * MIB
    start = 0x100000
    last = (A + B)[:-1]
    alone: list[tuple[int, int, bytes | None]] = [(start, block, None), (start + 3 * block, 8191, last)]
    found, absent = counted(path, odd.avml(alone))
    assert absent == 0
    assert len(found) == 3 * block // 4096 + 1
    assert found.pop((start + 3 * block) // 4096) == A
    assert set(found.values()) == {ZEROS}
    # A range that is no multiple away is another one, and what lies between is a hole of the machine's.
    other: list[tuple[int, int, bytes | None]] = [(start, block, None), (start + 3 * block + 4096, 8191, last)]
    assert len(counted(path, odd.avml(other))[0]) == block // 4096 + 1
    # A block that ends a range is shorter by a byte, as are all its like.
    short: list[tuple[int, int, bytes | None]] = [(start, 8191, None), (start + block, 8191, None)]
    assert counted(path, odd.avml(short))[0] == dict.fromkeys((0x100, 0x1100), ZEROS)


def test_lime_leaves_nothing_out(path: Path) -> None:
    """Ranges that happen to be as long as AVML's blocks have holes between them."""
    block = 16 * MIB
    data = odd.avml([(0, block, ZEROS * 4096), (3 * block, 8192, A + B)], b"EMiL")
    assert len(counted(path, data)[0]) == 4096 + 2


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("version", range(1, 7))
def test_kdumps_of_any_machine(path: Path, wide: bool, order: str, version: int) -> None:
    """s390x and some POWER machines are big-endian."""
    for codec in write.KDUMP_CODECS:
        data = write.kdump(SOME_ABSENT, codec, wide=wide, version=version, order=order)
        found = {number: page for number, page in SOME_ABSENT.items() if page is not None}
        assert counted(path, data) == (found, 2)


@pytest.mark.parametrize("flat", [False, True])
def test_a_kdump_for_which_the_disk_was_too_small(path: Path, flat: bool) -> None:
    """Pages never written are absent, and so are those whose data were cut; the rest counts."""
    lost = {9, 10, 1002}
    data = write.kdump(SOME_ABSENT, "none", lost=lost)
    found = {number: page for number, page in SOME_ABSENT.items() if page is not None and number not in lost}
    assert counted(path, write.flattened(data, again=False) if flat else data) == (found, 5)
    cut = {number: page for number, page in found.items() if page != PAGES[4]}  # whose data are the last
    assert counted(path, data[:-1]) == (cut, 13 - len(cut))


def test_a_kdump_whose_writer_was_killed(path: Path) -> None:
    """Nothing in its header says so, but the last descriptors were never written."""
    data = bytearray(write.kdump(MEMORY, lost={1001, 1002, 1003}))
    struct.pack_into("<I", data, 424, 1)
    found = {number: page for number, page in MEMORY.items() if number < 1001}
    assert counted(path, bytes(data)) == (found, 3)
    path.write_bytes(write.kdump(MEMORY, lost=MEMORY))
    refused(path, "the disk was full")


def test_a_flattened_file_without_its_end(path: Path) -> None:
    """As a full disk at the other end of a pipe leaves it: what was written counts."""
    head, pages = 4 * 4096, 24 * 12
    data = write.kdump(MEMORY, "none")
    whole = b"makedumpfile".ljust(16, b"\0") + struct.pack(">qq", 1, 1) + bytes(4064)
    for start, end in ((0, head), (head, head + pages), (head + pages, len(data))):
        whole += struct.pack(">qq", start, end - start) + data[start:end]
    assert counted(path, whole) == (MEMORY, 0)
    short = {number: page for number, page in MEMORY.items() if page != PAGES[4]}
    assert counted(path, whole[:-7]) == (short, 12 - len(short))


def test_parts_of_a_split_kdump(path: Path) -> None:
    """Each has its own pages, so that counts of all parts add up."""
    found: dict[int, bytes] = {}
    pages = 0
    for part in ((0, 4), (4, 1001), (1001, 1004)):
        path.write_bytes(write.kdump(SOME_ABSENT, part=part))
        with open_dump(path) as dump:
            found.update(contents(dump))
            pages += dump.pages
    assert found == {number: page for number, page in SOME_ABSENT.items() if page is not None}
    assert pages == len(SOME_ABSENT)
    # Of a machine with little memory makedumpfile leaves parts empty.
    assert counted(path, write.kdump(SOME_ABSENT, part=(1004, 1004))) == ({}, 0)
    path.write_bytes(write.kdump(SOME_ABSENT, part=(9, 8)))
    refused(path, "from page 9 to 8")


BITMAPS = odd.dirty_bitmap(odd.bitmap_begins(b"drive-scsi0", b"repo"))
BITS = odd.dirty_bitmap(odd.bitmap_bits(0, 1 << 21, b"\x7e\0\0\0\2" * 16), odd.bitmap_bits(1 << 21, 64, None))
PAGE_TABLE = struct.pack(">IIHH", 0, 5, 2, 1) + b"\x7e" * 32 + bytes(8)
ATTRIBUTES = struct.pack(">QQ", 0x5000 | 2, 5) + b"\x7e\0\0\0\2" + struct.pack(">QQ", 8, 1)
VFIO = struct.pack(">QQ", 0xFFFFFFFFEF100004, 5) + b"\x7e\0\0\0\2" + struct.pack(">Q", 0xFFFFFFFFEF100001)
VIRTIO_MEM = struct.pack(">QQQIQ", 1 << 32, 130 << 21, 2 << 20, 0, 2 << 20) + b"\x7e" * 24


@pytest.mark.parametrize(
    ("name", "first", "then"),
    [
        ("dirty-bitmap", b"\x01", b"\x01"),
        ("dirty-bitmap", BITMAPS, BITS),
        ("pbs-state", struct.pack(">Q", 5) + b"\x7e\0\0\0\2", b""),
        ("spapr/htab", struct.pack(">I", 24), PAGE_TABLE),
        ("s390-storage_attributes", struct.pack(">Q", 1), ATTRIBUTES),
        ("0000:00:05.0/vfio", struct.pack(">QQ", 0xFFFFFFFFEF100003, 0xFFFFFFFFEF100001), VFIO),
        ("0000:00:03.0/virtio-mem-device-early", VIRTIO_MEM, b""),
    ],
)
def test_other_sections_between_rams(path: Path, name: str, first: bytes, then: bytes) -> None:
    sends: list[write.Send] = [("pc.ram", number, PAGES[number % 5]) for number in range(12)]
    kind = 4 if name.endswith("early") else 1
    between = [write.section(kind, 7, name, first)]
    between += [write.section(2, 7, name, then), write.section(3, 7, name, then)] if then else []
    data = write.qemu({"pc.ram": 12}, sends, rounds=4, between=between)
    assert counted(path, data) == ({number: PAGES[number % 5] for number in range(12)}, 0)


@pytest.mark.parametrize("name", ["block", "audio", "dirty-bitmap"])
def test_sections_that_cannot_be_passed_over(path: Path, name: str) -> None:
    path.write_bytes(write.qemu({"pc.ram": 3}, [("pc.ram", 0, 1)], between=[write.section(1, 7, name, b"\x80\0")]))
    line = refused(path, f"'{name}' stands before the end of its RAM")
    assert "dump-guest-memory FILE" in line


def test_a_section_that_another_one_ends(path: Path) -> None:
    wrong = write.section(1, 7, "dirty-bitmap", b"\x01")[:-1] + b"\x09"
    path.write_bytes(write.qemu({"pc.ram": 3}, [("pc.ram", 0, 1)], between=[wrong]))
    refused(path, "another one ends")


def test_a_stream_with_postcopy_in_reach(path: Path) -> None:
    """Blocks of small pages beside huge ones then tell how large their pages are."""
    sends: list[write.Send] = [("pc.ram", 0, A), ("vga", 1, B)]
    data = write.qemu({"pc.ram": 512, "vga": 2}, sends)
    data = data.replace(b"\x08\0\1\0\4ping", b"\x08\0\3\0\x10" + struct.pack(">QQ", 4096 | 1 << 21, 4096))
    lengths = (write.text("vga") + struct.pack(">Q", 8192), write.text("pc.ram") + struct.pack(">Q", 512 * 4096))
    for length in lengths:
        assert length in data
        found, absent = counted(path, data.replace(length, length + struct.pack(">Q", 4096)))
        assert (found, absent) == ({0: A, ELSEWHERE + 1: B}, 512)
    assert counted(path, data) == ({0: A, ELSEWHERE + 1: B}, 512)


def test_a_save_of_a_big_endian_host(path: Path) -> None:
    plain = counted(path, STREAM)
    data = write.libvirt_save(STREAM, 80, 1)
    words = struct.pack(">5I", *struct.unpack_from("<5I", data, 16))
    assert counted(path, data[:16] + words + data[36:]) == plain


def test_criu_images_that_are_packed(tmp_path: Path) -> None:
    """Fields that are not known, and bytes left over: neither is a page."""
    write.criu(tmp_path, {1: A, 2: B})
    pages, pagemap = tmp_path / "pages-3.img", tmp_path / "pagemap-12.img"
    whole = pages.read_bytes()
    pages.write_bytes(whole + C)
    refused(tmp_path, "4096 bytes more than pagemap-12.img knows of")
    pages.rename(tmp_path / "pages-3.comp.img")
    refused(tmp_path, r"packed, in pages-3.comp.img; unpack them first: lz4 -d pages-3.comp.img pages-3.img")
    pages.write_bytes(whole)
    assert contents_of(tmp_path) == {1: A, 2: B}
    image = pagemap.read_bytes()
    for field in (b"\x28\x02", b"\x30\x01", b"\x32\x02\x90\x20", b"\x0a\x01\x05"):
        entry = image[18:] + field
        pagemap.write_bytes(image[:14] + struct.pack("<I", len(entry)) + entry)
        if field == b"\x28\x02":  # nr_pages, since CRIU 4.2
            assert contents_of(tmp_path) == {1: A, 2: B}
        else:
            refused(tmp_path, r"field \d, which is not known; images with packed pages are not read")


def test_a_cloud_hypervisor_snapshot_without_its_memory(tmp_path: Path) -> None:
    zones = [{"id": "mem0", "file": "/var/lib/guests/a\x1b[2J"}, {"id": "mem1", "file": "/dev/hugepages"}, {"id": "x"}]
    (tmp_path / "config.json").write_text(json.dumps({"memory": {"size": 0, "zones": zones}}))
    (tmp_path / "state.json").write_text("{}")
    line = refused(tmp_path, "memory is in its zones' files")
    assert "'/dev/hugepages'" in line
    assert "\x1b" not in line
    (tmp_path / "memory-ranges").touch()
    refused(tmp_path, "memory is in its zones' files")
    state = {"memory_ranges": [{"gpa": 4096, "length": 8192}]}
    some = [{"id": "a", "size": 8192}, {"id": "b", "size": 3 * 4096, "file": "/dev/shm/b", "shared": True}]
    (tmp_path / "config.json").write_text(json.dumps({"memory": {"size": 0, "zones": some}}))
    (tmp_path / "state.json").write_text(json.dumps(state))
    (tmp_path / "memory-ranges").write_bytes(A + B)
    with open_dump(tmp_path) as dump:
        assert contents(dump) == {1: A, 2: B}
        assert dump.absent == 3
    (tmp_path / "memory-ranges").write_bytes(b"")
    (tmp_path / "config.json").write_text("[1]")
    refused(tmp_path, "without memory-ranges: incomplete")
    (tmp_path / "config.json").write_text("[")
    refused(tmp_path, "JSON")
