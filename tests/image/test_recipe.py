"""Recipes: what is wrong with one is said with file, key and remedy; a digest changes with every byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmdedup.errors import UsageError
from vmdedup.image.overlay import lay_over
from vmdedup.image.recipe import digest_of, load_recipe, recipe_names

RECIPE = """
description = "a test"
memory_mib = 64
cmdline = "quiet"
kernel = { package = "linux-image-cloud-amd64", modules = ["virtio_pci"] }
initrd = { packages = ["busybox-static"], take = ["**/busybox"], overlay = "files" }
"""
DISK = 'disk = { suite = "bookworm", packages = ["nginx"], size_mib = 100, overlay = "files", finish = "finish" }\n'


def write(folder: Path, text: str = RECIPE) -> Path:
    (folder / "mine" / "files").mkdir(parents=True)
    (folder / "mine" / "files" / "init").write_text("#!/bin/sh\n")
    (folder / "mine" / "recipe.toml").write_text(text)
    return folder / "mine"


def test_every_recipe_of_ours_can_be_read() -> None:
    assert recipe_names() == ["debian", "tiny"]
    tiny, debian = load_recipe("tiny"), load_recipe("debian")
    assert tiny.disk is None
    assert debian.disk is not None
    assert {"openssh-server", "python3", "qemu-guest-agent"} <= set(debian.disk.packages)
    assert tiny.digest != debian.digest


def test_a_recipe_is_what_its_file_says(tmp_path: Path) -> None:
    directory = write(tmp_path, RECIPE + DISK)
    (directory / "finish").touch()
    recipe = load_recipe("mine", tmp_path)
    assert (recipe.name, recipe.memory_mib, recipe.cmdline) == ("mine", 64, "quiet")
    assert recipe.kernel.modules == ("virtio_pci",)
    assert recipe.disk is not None
    assert (recipe.disk.packages, recipe.disk.exclude) == (("nginx",), ())


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("memory_mib = 64", "memory_mb = 64", "unknown key memory_mb; did you mean 'memory_mib'?"),
        ("memory_mib = 64", "", "memory_mib is missing"),
        ("memory_mib = 64", "memory_mib = true", "memory_mib = True will not do; give a whole number"),
        ("memory_mib = 64", "memory_mib = 0", "memory_mib = 0 will not do; give a whole number"),
        ('"quiet"', '"a\\nb"', "cmdline = 'a\\nb' will not do; give one line of text"),
        ('"quiet"', '""', "cmdline = '' will not do"),
        ('["virtio_pci"]', '"virtio_pci"', "kernel.modules = 'virtio_pci' will not do; give a list"),
        ('["virtio_pci"]', "[3]", "kernel.modules = [3] will not do; give a list"),
        ('take = ["**/busybox"], ', "", "initrd.take is missing"),
        ('overlay = "files"', 'overlay = "file"', "initrd.overlay = 'file': there is no "),
        ("kernel = {", "kernels = {", "unknown key kernels; did you mean 'kernel'?"),
        ("kernel = {", "kernel = 3 #", "kernel is no table; write [kernel]"),
        ("description = ", "description ", "recipe.toml:2: not TOML: Expected '='"),
        ("initrd = {", DISK + "initrd = {", "disk.finish = 'finish': there is no "),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in RECIPE
    directory = write(tmp_path, RECIPE.replace(old, new))
    with pytest.raises(UsageError) as raised:
        load_recipe("mine", tmp_path)
    assert str(raised.value).startswith((f"{directory}/recipe.toml: ", f"{directory}/recipe.toml:2: not TOML"))
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["other", "", "../mine", "mine/", ".", "MINE"])
def test_no_such_recipe(tmp_path: Path, name: str) -> None:
    write(tmp_path)
    with pytest.raises(UsageError, match=r"no image .*; there are mine"):
        load_recipe(name, tmp_path)


def test_the_digest_changes_with_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = write(tmp_path)
    seen = [digest_of(directory)]
    assert digest_of(directory) == seen[0]
    (directory / "files" / "more").write_bytes(b"")
    seen.append(digest_of(directory))
    (directory / "files" / "more").write_bytes(b"x")
    seen.append(digest_of(directory))
    (directory / "files" / "more").rename(directory / "files" / "less")
    seen.append(digest_of(directory))
    monkeypatch.setattr("vmdedup.image.recipe.BUILDER", 0)
    seen.append(digest_of(directory))
    assert len(set(seen)) == len(seen)


def test_programs_are_known_by_how_they_begin(tmp_path: Path) -> None:
    """Whatever their modes: a wheel has none."""
    overlay, tree = tmp_path / "overlay", tmp_path / "tree"
    (overlay / "etc").mkdir(parents=True)
    (overlay / "init").write_text("#!/bin/sh\n")
    (overlay / "etc" / "config").write_text("a = 1\n")
    (overlay / "etc" / "config").chmod(0o777)
    tree.mkdir()
    (tree / "init").symlink_to("/etc/passwd")
    lay_over(overlay, tree)
    assert not (tree / "init").is_symlink()
    assert (tree / "init").stat().st_mode & 0o777 == 0o755
    assert (tree / "etc" / "config").stat().st_mode & 0o777 == 0o644
