"""What goes into a dump comes out of it: every format, pages of every kind, absent ones."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import dump_writers as write
from kit.dump_contents import contents, contents_of
from kit.dump_writers_samples import MEMORY, PAGES, SOME_ABSENT, page_of
from vmdedup.dump.base import Block
from vmdedup.dump.open import open_dump
from vmdedup.errors import DumpError

pages = st.integers(0, 9).map(page_of)
numbers = st.one_of(st.integers(0, 60), st.integers(4000, 4020), st.integers(1 << 20, (1 << 20) + 9))
memories = st.dictionaries(numbers, pages, min_size=1, max_size=40)
memories_with_absent = st.dictionaries(numbers, st.one_of(st.none(), pages), min_size=1, max_size=40)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file for dumps, written over and over."""
    return tmp_path_factory.mktemp("dumps") / "x"


def there(memory: write.Memory) -> dict[int, bytes]:
    """The pages that are not absent."""
    return {number: page for number, page in memory.items() if page is not None}


def check(path: Path, data: bytes, memory: write.Memory, form: str) -> None:
    """These bytes are a dump of this memory."""
    path.write_bytes(data)
    with open_dump(path) as dump:
        assert dump.format == form
        assert contents(dump) == there(memory)
        assert dump.pages == len(memory)


@given(memory=st.dictionaries(st.integers(0, 60), pages, min_size=1))
def test_raw(path: Path, memory: write.Memory) -> None:
    whole: write.Memory = {number: memory.get(number) or bytes(4096) for number in range(max(memory) + 1)}
    check(path, write.raw(memory), whole, "raw")


@given(memory=memories, wide=st.booleans(), order=st.sampled_from("<>"), many=st.booleans(), virtual=st.booleans())
def test_elf(path: Path, memory: write.Memory, wide: bool, order: str, many: bool, virtual: bool) -> None:
    memory = {number: page for number, page in memory.items() if wide or number < 1 << 20} or {1: PAGES[1]}
    check(path, write.elf(memory, wide, order, virtual, many), memory, "elf")


def test_elf_with_less_in_the_file_than_in_memory(path: Path) -> None:
    check(path, write.elf(SOME_ABSENT), SOME_ABSENT, "elf")


def test_elf_with_more_segments_than_its_header_can_count(path: Path) -> None:
    memory: write.Memory = {2 * number: None for number in range(70_000)}
    memory.update({139_998: PAGES[2], 6: PAGES[3]})
    check(path, write.elf(memory, many=True), memory, "elf")


@given(
    memory=memories_with_absent,
    codec=st.sampled_from(sorted(write.KDUMP_CODECS)),
    flat=st.booleans(),
    wide=st.booleans(),
)
def test_kdump(path: Path, memory: write.Memory, codec: str, flat: bool, wide: bool) -> None:
    data = write.kdump(memory, codec, wide=wide, version=6 if wide else 5)
    check(path, write.flattened(data) if flat else data, memory, "kdump")


@pytest.mark.parametrize("codec", sorted(write.KDUMP_CODECS))
def test_kdump_of_a_machine_with_larger_pages(path: Path, codec: str) -> None:
    memory: write.Memory = {number: page_of(number % 10) for number in range(16 * 5) if number // 16 != 2}
    check(path, write.kdump(memory, codec, 65536), memory, "kdump")


def test_kdump_unpacks_in_many_threads(path: Path) -> None:
    memory: write.Memory = {number: page_of(number % 40) for number in range(9000)}
    path.write_bytes(write.flattened(write.kdump(memory)))
    with open_dump(path) as dump, ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda block: (block.numbers, block.load()), [*dump.blocks()] * 2))
    assert len(found) > 8
    for few, rows in found:
        assert all(row.tobytes() == memory[number] for number, row in zip(few.tolist(), rows, strict=True))


@given(sizes=st.lists(st.integers(1, 3000), max_size=8), again=st.booleans())
def test_flattened_writes_of_any_size(path: Path, sizes: list[int], again: bool) -> None:
    check(path, write.flattened(write.elf(MEMORY), sizes, again), MEMORY, "elf")


@given(memory=memories)
def test_lime(path: Path, memory: write.Memory) -> None:
    check(path, write.lime(memory), memory, "lime")


def test_lime_ranges_that_end_within_a_page(path: Path) -> None:
    data = write.lime({1: PAGES[2], 2: PAGES[3]})
    short = data[:16] + (4096 + 8192 - 100 - 1).to_bytes(8, "little") + data[24:-100]
    check(path, short, {1: PAGES[2]}, "lime")


@given(memory=memories, frame=st.sampled_from((300, 4096, 5000, 65536)), plain=st.booleans())
def test_avml(path: Path, memory: write.Memory, frame: int, plain: bool) -> None:
    check(path, write.avml(memory, frame, plain), memory, "avml")


def test_criu(tmp_path: Path) -> None:
    memory: write.Memory = {7: PAGES[1], 8: PAGES[2], 9: None, 100: PAGES[3]}
    write.criu(tmp_path / "new", memory, parent=[10, 11, 12, 13])
    write.criu(tmp_path / "old", {10: PAGES[4], 12: PAGES[1], 14: PAGES[2]})
    with open_dump(tmp_path / "new") as dump:
        assert contents(dump) == there(memory)
        assert dump.absent == 5
    (tmp_path / "new" / "parent").symlink_to("../old")
    with_parent = {**there(memory), 10: PAGES[4], 12: PAGES[1]}
    assert contents_of(tmp_path / "new") == with_parent
    assert contents_of(tmp_path / "new" / "pagemap-12.img") == with_parent
    write.criu(tmp_path / "new", {1: PAGES[2]}, pid=5, pages_id=9)
    apart = 1 << 45
    assert contents_of(tmp_path / "new") == {**with_parent, apart + 1: PAGES[2]}  # by name: pagemap-12, pagemap-5


layers = st.lists(st.dictionaries(st.integers(0, 40), pages, max_size=20), min_size=1, max_size=4)


@given(layers=layers)
def test_firecracker_diffs(path: Path, layers: list[write.Memory]) -> None:
    names = [path.parent / f"layer{number}" for number in range(len(layers))]
    for name, layer in zip(names, layers, strict=True):
        name.unlink(missing_ok=True)
        write.sparse(name, layer, 41)
    whole = dict.fromkeys(range(41), bytes(4096))
    for layer in layers:
        whole.update(there(layer))
    assert contents_of("+".join(map(str, names))) == whole
    with open_dump(f"diff:{names[-1]}") as dump:
        assert contents(dump) == there(layers[-1])
        assert dump.absent == 41 - len(layers[-1])


@pytest.mark.parametrize("before", [b"\0\0", b"\1\0", b"\x05\0\0"])
@pytest.mark.parametrize("magic", [0x071019848664, 0x07101984AAAA])
def test_firecracker_directory(tmp_path: Path, before: bytes, magic: int) -> None:
    """Of versions before 1.7, which have the format's version in the magic number, of those after, and by bitcode."""
    (tmp_path / "vm.snap").write_bytes(before + magic.to_bytes(6, "little") + b"state")
    (tmp_path / "vm.mem").write_bytes(PAGES[2] + PAGES[3])
    assert contents_of(tmp_path) == {0: PAGES[2], 1: PAGES[3]}
    with pytest.raises(DumpError, match="name its memory file"):
        open_dump(tmp_path / "vm.snap")


def test_cloud_hypervisor(tmp_path: Path) -> None:
    (tmp_path / "memory-ranges").write_bytes(PAGES[2] + PAGES[3] + PAGES[4])
    assert contents_of(tmp_path) == {0: PAGES[2], 1: PAGES[3], 2: PAGES[4]}
    ranges = {"data": [{"gpa": 1 << 32, "length": 4096}, {"gpa": 0, "length": 8192}]}
    state = {"snapshots": {"memory-manager": {"state": json.dumps({"memory_ranges": ranges})}}}
    (tmp_path / "state.json").write_text(json.dumps(state))
    assert contents_of(tmp_path) == {1 << 20: PAGES[2], 0: PAGES[3], 1: PAGES[4]}


def test_holes_are_one_page_seen_many_times(tmp_path: Path) -> None:
    write.sparse(tmp_path / "s", {5000: PAGES[1]}, 12_000)
    with open_dump(tmp_path / "s") as dump:
        found = [(len(block), block.load()) for block in dump.blocks()]
    assert sum(count for count, _ in found) == 12_000
    assert sum(count for count, rows in found if rows.strides[0] == 0) > 11_900
    assert not any(rows.any() for _, rows in found if rows.strides[0] == 0)


def test_contents_are_read_when_asked_for(path: Path) -> None:
    path.write_bytes(write.elf({0: PAGES[1]}))
    with open_dump(path) as dump:
        block = next(dump.blocks())
        assert isinstance(block, Block)
        path.write_bytes(path.read_bytes()[:-1] + b"!")
        assert block.load().tobytes()[-1:] == b"!"


def test_names_mean_nothing(tmp_path: Path) -> None:
    name = tmp_path / "pid:a+b.raw"
    name.write_bytes(write.lime(MEMORY))
    assert contents_of(name) == MEMORY
    name.write_bytes(b"\x7fELF" + PAGES[2][4:])
    assert contents_of(f"raw:{name}") == {0: b"\x7fELF" + PAGES[2][4:]}
