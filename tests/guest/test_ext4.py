"""An ext4 image reads as the tree that it was made from."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from vmdedup.errors import UsageError
from vmdedup.guest.disk import Disk
from vmdedup.guest.diskspec import DiskSpec, open_disk
from vmdedup.guest.ext4 import Ext4Disk

needs_mke2fs = pytest.mark.skipif(shutil.which("mke2fs") is None, reason="mke2fs is not installed")


def make_tree(root: Path) -> Path:
    """Many files in one (hashed) directory, a deep path, a file of many extents and holes, a hard link."""
    random = np.random.default_rng(8)
    for number in range(400):
        place = root / f"many/file-with-a-rather-long-name-{number:04d}"
        place.parent.mkdir(exist_ok=True, parents=True)
        place.write_bytes(random.bytes(int(random.integers(1, 9000))))
    (root / "a/b/c/d").mkdir(parents=True)
    (root / "a/b/c/d/deep").write_bytes(b"deep")
    with (root / "holes").open("wb") as holes:
        for piece in range(200):
            holes.seek(piece * 20480)
            holes.write(random.bytes(4096))
    (root / "a/link").hardlink_to(root / "a/b/c/d/deep")
    (root / "a/symlink").symlink_to("b")
    return root


def make_image(tree: Path, image: Path, *options: str) -> str:
    subprocess.run(["mke2fs", "-q", "-t", "ext4", *options, "-d", str(tree), str(image), "24M"], check=True)
    return str(image)


@needs_mke2fs
@pytest.mark.parametrize("options", [(), ("-b", "1024"), ("-O", "^64bit,^metadata_csum"), ("-I", "128")])
def test_an_image_holds_the_tree_it_was_made_from(tmp_path: Path, options: tuple[str, ...]) -> None:
    root = make_tree(tmp_path / "tree")
    disk = open_disk(DiskSpec(make_image(root, tmp_path / "disk.img", *options)))
    assert isinstance(disk, Ext4Disk)
    seen = set()
    for file in range(disk.index.files):
        content = (root / disk.index.path(file)).read_bytes()
        read = disk.read(disk.index.pages_of(file)).tobytes()
        assert read[: len(content)] == content
        assert not any(read[len(content) :])
        seen.add(disk.index.path(file))
    regular = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    expected = {str(path.relative_to(root)) for path in regular}
    assert seen == expected - {"a/link"}
    disk.close()


@needs_mke2fs
def test_identity_is_that_of_the_tree(tmp_path: Path) -> None:
    root = make_tree(tmp_path / "tree")
    image = open_disk(DiskSpec(make_image(root, tmp_path / "disk.img")))
    again = open_disk(DiskSpec(make_image(root, tmp_path / "again.img", "-b", "1024")))
    assert image.identity == again.identity


@needs_mke2fs
@pytest.mark.parametrize("damage", ["inodes", "cut", "extents"])
def test_a_damaged_image_is_refused_in_one_line(tmp_path: Path, damage: str) -> None:
    path = Path(make_image(make_tree(tmp_path / "tree"), tmp_path / "disk.img"))
    with path.open("r+b") as image:
        if damage == "cut":
            image.truncate(8192)
        else:
            content = bytearray(path.read_bytes())
            if damage == "inodes":
                content[1024 + 40 : 1024 + 44] = bytes(4)
            else:
                content = content.replace(b"\x0a\xf3", b"\x0a\xf4")
            image.write(content)
    with pytest.raises(UsageError, match=r"^disk image .* is no sound ext4 \(.*\); say kind = 'raw'$"):
        open_disk(DiskSpec(str(path)))
    assert open_disk(DiskSpec(str(path), kind="raw")).index.files > 0


@needs_mke2fs
@pytest.mark.parametrize("places", [3, 10])
def test_random_damage_gives_files_or_a_refusal(tmp_path: Path, places: int) -> None:
    """Behind the descriptors a changed byte spoils the content of one file at most, whatever else it makes unreadable.

    That of the file whose inode or extent it is in, or whose number a directory names; all others read as they were.
    """
    root = make_tree(tmp_path / "tree")
    path = Path(make_image(root, tmp_path / "disk.img", "-b", "1024", "-N", "512"))
    sound, random = path.read_bytes(), np.random.default_rng(17)
    used = np.flatnonzero(np.frombuffer(sound, dtype=np.uint8)[: 300 << 10])
    used = used[used >= 4096]
    refused = spoilt = 0
    for _ in range(15):
        damaged = bytearray(sound)
        for place in random.choice(used, places).tolist():
            damaged[place] = int(random.integers(256))
        path.write_bytes(damaged)
        try:
            disk = open_disk(DiskSpec(str(path), kind="ext4"))
            same, other = read_again(disk, root)
        except UsageError:
            refused += 1
            continue
        disk.close()
        spoilt += other
        assert other <= places
        assert same > 300
    assert 0 < refused < 15
    assert spoilt > 0


@needs_mke2fs
def test_random_damage_anywhere_gives_files_or_a_refusal(tmp_path: Path) -> None:
    """Superblock and descriptors too, of which one changed byte may spoil every file."""
    path = Path(make_image(make_tree(tmp_path / "tree"), tmp_path / "disk.img", "-b", "1024", "-N", "512"))
    sound, random = path.read_bytes(), np.random.default_rng(17)
    used = np.flatnonzero(np.frombuffer(sound, dtype=np.uint8)[: 300 << 10])
    refused = 0
    for _ in range(60):
        damaged = bytearray(sound)
        for place in random.choice(used, 30).tolist():
            damaged[place] = int(random.integers(256))
        path.write_bytes(damaged)
        try:
            disk = open_disk(DiskSpec(str(path), kind="ext4"))
            disk.read(np.arange(min(disk.index.pages, 500)))
        except UsageError:
            refused += 1
    assert 0 < refused < 60


def read_again(disk: Disk, root: Path) -> tuple[int, int]:
    """How many files of a tree, as a disk has them, have their content, and how many another."""
    found = {True: 0, False: 0}
    for file in range(disk.index.files):
        original = root / disk.index.path(file)
        if original.is_file():  # a name may be damaged, too
            content = original.read_bytes()
            read = disk.read(disk.index.pages_of(file)).tobytes()
            found[read.rstrip(b"\0") == content.rstrip(b"\0")] += 1
    return found[True], found[False]


@needs_mke2fs
def test_an_image_without_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    with pytest.raises(UsageError, match="holds no readable file"):
        open_disk(DiskSpec(make_image(tmp_path / "tree", tmp_path / "disk.img")))
