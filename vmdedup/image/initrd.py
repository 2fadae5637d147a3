"""The initial memory disk: a tree of a few files, packed."""

from __future__ import annotations

import os
from pathlib import Path

from vmdedup.image.overlay import lay_over
from vmdedup.image.packages import PackageStore, merged_folders, take
from vmdedup.image.recipe import Recipe
from vmdedup.image.tools import run_tool
from vmdedup.ours import folder

EPOCH = 1_700_000_000  # seconds; the date of every file, so that one recipe gives one image


def make_tree(recipe: Recipe, packages: PackageStore, tree: Path, scratch: Path) -> None:
    """Everything but modules: what is taken from packages, and the recipe's own files."""
    tree.mkdir()
    tree.chmod(0o755)
    merged_folders(tree)
    with folder.scratch(scratch) as unpacked:
        for package in recipe.initrd.packages:
            packages.unpack(package, unpacked)
        take(unpacked, recipe.initrd.take, tree)
    lay_over(recipe.directory / recipe.initrd.overlay, tree)


def pack(tree: Path, file: Path) -> None:
    """The tree as a cpio archive of format newc in lz4's legacy frame, which Linux unpacks at boot."""
    paths = sorted(str(path.relative_to(tree)) for path in tree.rglob("*"))
    for path in (tree, *(tree / name for name in paths)):
        os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)
    names = "\0".join([".", *paths]).encode()
    options = ["--null", "--create", "--format=newc", "--owner=0:0", "--reproducible", "--quiet"]
    archive = run_tool(["cpio", *options], cwd=tree, stdin=names)
    file.write_bytes(run_tool(["lz4", "-l", "-9", "-c"], stdin=archive))
