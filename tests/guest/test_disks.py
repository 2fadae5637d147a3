"""Disks: a tree, a raw image and a generated tree give the bytes that are there; the rest is refused."""

from __future__ import annotations

import hashlib
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from vmdedup.errors import UsageError
from vmdedup.guest.disk import Disk
from vmdedup.guest.diskspec import DiskSpec, open_disk
from vmdedup.guest.kinds import FileKind, kind_of
from vmdedup.guest.tree import TreeDisk

FILES = {
    "bin/tool": os.urandom(9000),
    "etc/app.conf": b"x = 1\n",
    "lib/liba.so.1": bytes(range(256)) * 64,
    "src/a.c": b"int main;\n" * 500,
    "share/\udcff odd": b"not UTF-8",
    "share/page": b"p" * 4096,
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for path, content in FILES.items():
        place = tmp_path / path
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(content)
    (tmp_path / "share/empty").touch()
    (tmp_path / "share/link").symlink_to("page")
    (tmp_path / "share/zhard").hardlink_to(tmp_path / "share/page")
    os.mkfifo(tmp_path / "share/fifo")
    return tmp_path


def whole(disk: Disk, file: int) -> bytes:
    return disk.read(disk.index.pages_of(file)).tobytes()


def padded(content: bytes) -> bytes:
    return content.ljust(-(-len(content) // 4096) * 4096, b"\0")


def test_a_tree_holds_its_regular_files_once_and_in_order(tree: Path) -> None:
    disk = open_disk(DiskSpec(str(tree)))
    paths = [disk.index.path(file) for file in range(disk.index.files)]
    assert paths == sorted(FILES)
    for file, path in enumerate(paths):
        assert whole(disk, file) == padded(FILES[path])


def test_pages_of_several_files_come_in_the_order_asked_for(tree: Path) -> None:
    disk = open_disk(DiskSpec(str(tree)))
    every = b"".join(whole(disk, file) for file in range(disk.index.files))
    order = np.random.default_rng(2).permutation(disk.index.pages)
    rows = np.frombuffer(every, dtype=np.uint8).reshape(-1, 4096)
    assert np.array_equal(disk.read(order), rows[order])
    assert disk.read(order[:0]).shape == (0, 4096)


def test_more_files_than_are_kept_open(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number:02d}").write_bytes(b"%d" % number)
    disk = TreeDisk.scan(str(tmp_path))
    before = len(os.listdir("/proc/self/fd"))
    pages = disk.read(np.arange(40))
    assert [bytes(page[:2]).rstrip(b"\0") for page in pages] == [b"%d" % number for number in range(40)]
    assert len(os.listdir("/proc/self/fd")) - before <= 8
    disk.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_that_shrank_or_went_reads_as_zeros_with_a_warning(tree: Path, caplog: pytest.LogCaptureFixture) -> None:
    disk = open_disk(DiskSpec(str(tree)))
    (tree / "bin/tool").write_bytes(b"short")
    (tree / "share/page").unlink()
    assert whole(disk, 0) == b"short".ljust(3 * 4096, b"\0")
    assert whole(disk, sorted(FILES).index("share/page")) == bytes(4096)
    assert "bin/tool has shrunk" in caplog.text
    assert "share/page: No such file" in caplog.text


def test_identity_goes_with_the_files_not_with_the_place(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    for path, content in FILES.items():
        (other / path).parent.mkdir(exist_ok=True)
        (other / path).write_bytes(content)
    first, second = open_disk(DiskSpec(str(tree))), open_disk(DiskSpec(str(other)))
    assert first.identity == second.identity
    (other / "etc/app.conf").write_bytes(b"longer than it was")
    assert open_disk(DiskSpec(str(other))).identity != first.identity


def test_progress_is_told(tmp_path: Path) -> None:
    for number in range(2100):
        (tmp_path / str(number)).write_bytes(b"x")
    told: list[int] = []
    open_disk(DiskSpec(str(tmp_path)), told.append)
    assert told == [1000, 2000]


def test_a_raw_image_is_read_block_by_block(tmp_path: Path) -> None:
    content = np.random.default_rng(5).bytes((600 << 10) + 100)
    (tmp_path / "disk.img").write_bytes(content)
    disk = open_disk(DiskSpec(str(tmp_path / "disk.img")))
    assert type(disk).__name__ == "RawDisk"
    assert disk.index.files == 3
    assert b"".join(whole(disk, file) for file in range(3)) == padded(content)
    assert disk.identity == open_disk(DiskSpec(str(tmp_path / "disk.img"), kind="raw")).identity
    disk.close()
    assert whole(disk, 2) == padded(content[512 << 10 :])


def test_a_generated_disk_is_the_same_on_every_machine() -> None:
    disk = open_disk(DiskSpec(kind="generated", seed=3, mib=2))
    index = disk.index
    listing = "\n".join(f"{index.path(file)} {index.sizes[file]}" for file in range(index.files))
    every = disk.read(np.arange(index.pages))
    assert digest(listing.encode()) == "715a6f03c941358f97d96626d334d544387ef05fadc6070ba8cb6c7980aa8821"
    assert digest(every.tobytes()) == "6271ea1f6dc45a23cb28b69515e0171bd32e55d5d157146fc1c1c09f492f2394"
    other = open_disk(DiskSpec(kind="generated", seed=4, mib=2))
    assert not np.array_equal(every[:64], other.read(np.arange(64)))


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_generated_disk_has_its_size_and_every_kind_of_file() -> None:
    disk = open_disk(DiskSpec(kind="generated", mib=64))
    assert disk.index.sizes.sum() / (1 << 20) == pytest.approx(64, rel=0.1)
    assert set(disk.index.kinds.tolist()) == {int(kind) for kind in FileKind}
    tail = int(disk.index.sizes[0]) % 4096
    assert not disk.read(disk.index.pages_of(0))[-1, tail:].any()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("lib/x86_64-linux-gnu/libc.so.6", FileKind.EARLY),
        ("share/bash-completion/completions/mount", FileKind.DATA),
        ("lib/libz.so.1.2.13", FileKind.LIBRARY),
        ("sbin/cron", FileKind.PROGRAM),
        ("lib/systemd/system/ssh.service", FileKind.SERVICE),
        ("include/stdio.h", FileKind.SOURCE),
        ("share/icons/a.png", FileKind.DATA),
    ],
)
def test_kinds(path: str, kind: FileKind) -> None:
    assert kind_of(path) == kind


def test_files_of_a_kind_or_else_all_files(tree: Path) -> None:
    index = open_disk(DiskSpec(str(tree))).index
    assert [index.path(file) for file in index.of_kind(FileKind.SOURCE)] == ["src/a.c"]
    assert sorted(index.of_kind(FileKind.EARLY).tolist()) == list(range(index.files))


def test_what_cannot_be_a_disk_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "hollow").mkdir()
    (tmp_path / "hollow/empty").touch()
    (tmp_path / "nothing.img").touch()
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(str(tmp_path / "socket"))
    unix.close()
    refusals = {
        DiskSpec(str(tmp_path / "none")): "does not exist; name a directory, a raw image or an ext4 image",
        DiskSpec(str(tmp_path / "hollow")): "is empty: it holds no readable file; name another directory",
        DiskSpec(str(tmp_path / "nothing.img")): "is empty; name an image with content",
        DiskSpec(str(tmp_path / "socket")): "is neither a directory nor a file",
        DiskSpec(str(tmp_path / "hollow"), kind="raw"): "is a directory; say kind = 'tree'",
        DiskSpec(str(tmp_path / "nothing.img"), kind="tree"): "is not a directory; say kind = 'auto'",
        DiskSpec("x" * 300): "File name too long",
    }
    for spec, said in refusals.items():
        with pytest.raises(UsageError) as refused:
            open_disk(spec)
        assert said in str(refused.value)
        assert "\n" not in str(refused.value)
    with pytest.raises(UsageError, match="disk path is empty"):
        DiskSpec("")
    with pytest.raises(UsageError, match="disk kind 'ntfs' is unknown; give one of auto, tree, raw"):
        DiskSpec(kind="ntfs")


@contextmanager
def nobody() -> Iterator[None]:
    """Act as a user who may read only what everybody may."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_an_unreadable_disk_is_refused() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "open").mkdir()
        for name in ("closed", "open/closed"):
            (root / name).mkdir(mode=0o000)
        for name in ("closed.img", "open/closed.txt", "open/open.txt"):
            (root / name).write_bytes(b"x" * 4096)
        root.chmod(0o755)
        (root / "closed.img").chmod(0o000)
        (root / "open/closed.txt").chmod(0o000)
        with nobody():
            for name in ("closed", "closed.img"):
                with pytest.raises(UsageError, match=r"cannot be read \(Permission denied\)"):
                    open_disk(DiskSpec(str(root / name)))
            index = open_disk(DiskSpec(str(root / "open"))).index
        assert [index.path(file) for file in range(index.files)] == ["open.txt"]
