"""QEMU's streams as written by hand: rounds, fill bytes, machines, what wraps them, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import dump_writers as write
from kit.dump_contents import contents, contents_of
from kit.dump_writers_samples import PAGES, STREAM
from vmdedup.dump import libvirt_save, qemu_stream
from vmdedup.dump.open import open_dump
from vmdedup.errors import DumpError

ELSEWHERE = 1 << 40
sends = st.lists(
    st.tuples(
        st.sampled_from(["pc.ram", "vga"]), st.integers(0, 29), st.one_of(st.integers(0, 255), st.sampled_from(PAGES))
    ),
    min_size=1,
    max_size=120,
)


def expected(sends: list[write.Send]) -> dict[int, bytes]:
    """What holds after all sends."""
    return {
        number + (0 if block == "pc.ram" else ELSEWHERE): bytes([page]) * 4096 if isinstance(page, int) else page
        for block, number, page in sends
    }


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file for dumps, written over and over."""
    return tmp_path_factory.mktemp("dumps") / "x"


@given(sends=sends, rounds=st.integers(1, 5))
def test_the_last_of_a_page_holds(path: Path, sends: list[write.Send], rounds: int) -> None:
    path.write_bytes(write.qemu({"pc.ram": 30, "vga": 30}, sends, rounds=rounds))
    with open_dump(path) as dump:
        assert [region.name for region in dump.regions] == ["pc.ram", "vga"]
        assert contents(dump) == expected(sends)
        assert dump.pages == 60


def test_runs_longer_than_what_is_at_hand(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of like headers are read many at once; they go past windows and are broken anywhere."""
    monkeypatch.setattr(qemu_stream, "WINDOW", 1 << 15)
    pages = [PAGES[1 + number % 4] if number % 70 > 3 else number % 256 for number in range(500)]
    pages += [number % 3 for number in range(9000)]
    sends: list[write.Send] = [("pc.ram", number, page) for number, page in enumerate(pages)]
    path.write_bytes(write.qemu({"pc.ram": len(pages)}, sends, rounds=3))
    assert contents_of(path) == expected(sends)


def test_notes_of_one_page_are_put_together(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu_stream, "MANY", 10)
    sends: list[write.Send] = [("pc.ram", number * 7 % 30, number % 256) for number in range(500)]
    path.write_bytes(write.qemu({"pc.ram": 30}, sends, rounds=9))
    assert contents_of(path) == expected(sends)


@pytest.mark.parametrize(
    ("machine", "gib", "regions"),
    [
        ("pc-i440fx-7.2", 3.25, [(0, 0xD0000)]),
        ("pc-i440fx-7.2", 4, [(0, 0xC0000), (0x100000, 0x40000)]),
        ("pc-q35-7.2", 2.5, [(0, 0xA0000)]),
        ("pc-q35-7.2", 3, [(0, 0x80000), (0x100000, 0x40000)]),
        ("virt-7.2", 1, [(0x40000, 0x40000)]),
    ],
)
def test_ram_stands_where_the_machine_has_it(
    path: Path, machine: str, gib: float, regions: list[tuple[int, int]]
) -> None:
    """As dumps in ELF have it: an i440fx PC of 4 GiB has 3 below 4 GiB and 1 above."""
    pages = int(gib * 2**18)
    nodes = {"ram-node0": pages // 2, "ram-node1": pages // 2, "vga": 3}
    ends: list[write.Send] = [("ram-node0", 0, PAGES[2]), ("ram-node1", pages // 2 - 1, PAGES[3])]
    path.write_bytes(write.qemu(nodes, ends, machine))
    with open_dump(path) as dump:
        found = [(region.first, region.pages) for region in dump.regions]
        assert contents(dump) == {regions[0][0]: PAGES[2], sum(regions[-1]) - 1: PAGES[3]}
        assert dump.absent == pages + 3 - 2
    merged = [found[0]]
    for first, count in found[1:]:
        merged[-1:] = (
            [(merged[-1][0], merged[-1][1] + count)] if sum(merged[-1]) == first else [merged[-1], (first, count)]
        )
    assert merged == [*regions, (ELSEWHERE, 3)]


def test_a_mapped_ram_file(path: Path) -> None:
    path.write_bytes(write.mapped_ram({"m0": PAGES, "x": PAGES[2:3]}))
    assert contents_of(path) == {**dict(enumerate(PAGES)), ELSEWHERE: PAGES[2]}


@pytest.mark.parametrize("codec", sorted(write.SAVE_CODECS))
def test_virsh_save(path: Path, codec: int) -> None:
    path.write_bytes(STREAM)
    plain = contents_of(path)
    path.write_bytes(write.libvirt_save(STREAM, 80, codec))
    with open_dump(path) as dump:
        assert dump.format == "libvirt-save"
        assert contents(dump) == plain


@pytest.mark.parametrize("codec", [1, 2, 3, 5])
def test_a_save_that_unpacks_to_more_than_the_domain_has(
    path: Path, codec: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libvirt_save, "DEVICES", 1 << 20)
    path.write_bytes(write.libvirt_save(STREAM + bytes(1 << 24), 1024, codec))
    with pytest.raises(DumpError, match="more than its domain's memory"):
        open_dump(path)


@pytest.mark.parametrize("codec", [1, 2, 3, 5])
def test_a_save_that_is_cut_or_damaged(path: Path, codec: int) -> None:
    data = write.libvirt_save(STREAM, 80, codec)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DumpError, match=r"truncated|damaged"):
        open_dump(path)
    start = len(write.libvirt_save(b"", 80))
    path.write_bytes(data[:start] + b"\xff" * 40 + data[start + 40 :])
    with pytest.raises(DumpError, match=r"truncated|damaged"):
        open_dump(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (write.libvirt_save(STREAM, 80, 4), "lzop"),
        (write.libvirt_save(STREAM, 80, 0, b"LibvirtQemudPart"), "unfinished"),
        (write.qemu({"pc.ram": 3}, [], ended=False).replace(b"\x04\0\0\0\7", b"\0\0\0\0\0"), "migration failed"),
        (write.qemu({"pc.ram": 3}, [], ended=False), "'timer' stands before the end"),
        (STREAM.replace(b"\x03\0\0\0\2", b"\x03\0\0\0\3"), "never began"),
        (write.qemu({"pc.ram": 3}, [("pc.ram", 3, 1)]), "page 3 of no RAM block"),
        (b"QEVM\0\0\0\2", "version 2"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_line(path: Path, data: bytes, message: str) -> None:
    path.write_bytes(data)
    with pytest.raises(DumpError, match=message) as caught:
        open_dump(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("flag", "word"), [(0x40, "xbzrle"), (0x100, "compress"), (0x200, "multifd"), (0x80, "RDMA")])
def test_pages_in_other_forms_are_refused_with_the_remedy(path: Path, flag: int, word: str) -> None:
    data = write.qemu({"pc.ram": 3}, [("pc.ram", 0, 0)])
    data = data.replace(b"\0\0\0\0\0\0\0\2\6pc.ram", flag.to_bytes(8, "big") + b"\6pc.ram")
    path.write_bytes(data)
    with pytest.raises(DumpError, match=word):
        open_dump(path)
