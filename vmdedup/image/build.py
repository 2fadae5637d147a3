"""Building an image, step by step, into an empty directory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from vmdedup.errors import EnvironmentLacksError
from vmdedup.image import disk, initrd
from vmdedup.image.kernel import place_modules, unpack_kernel
from vmdedup.image.overlay import let_in, make_key
from vmdedup.image.packages import PackageStore
from vmdedup.image.recipe import Recipe
from vmdedup.image.tools import require_tools
from vmdedup.ours.folder import scratch

Note = Callable[[str], None]
_ALWAYS = ("apt-get", "cpio", "depmod", "dpkg-deb", "lz4", "modprobe", "setpriv", "ssh-keygen")
_FOR_DISKS = ("mke2fs", "mmdebstrap", "unshare")


def check_tools(recipe: Recipe) -> None:
    """See that what the recipe needs is installed. Raises EnvironmentLacksError."""
    require_tools(_ALWAYS if recipe.disk is None else (*_ALWAYS, *_FOR_DISKS))
    if recipe.disk is not None and os.geteuid() != 0:
        raise EnvironmentLacksError(f"image {recipe.name!r} has a disk whose files belong to root: build it as root")


def build(recipe: Recipe, directory: Path, packages: PackageStore, note: Note) -> None:
    """Make kernel, initrd, ssh_key, ssh_key.pub, tree and, if the recipe has a disk, root.raw below directory.

    note: told of every step. EnvironmentLacksError with the remedy; OSError, of a full disk too.
    """
    with scratch(directory) as folder:
        _build(recipe, directory, packages, note, folder)


def _build(recipe: Recipe, directory: Path, packages: PackageStore, note: Note, scratch: Path) -> None:
    note("key")
    public_key = make_key(directory, f"vmdedup {recipe.name}")
    note("kernel")
    kernel = unpack_kernel(recipe.kernel, packages, scratch / "kernel")
    shutil.copyfile(kernel, directory / "kernel")
    note("initrd")
    tree = directory / "tree"
    memory_tree = tree if recipe.disk is None else scratch / "initrd"
    initrd.make_tree(recipe, packages, memory_tree, scratch)
    place_modules(recipe.kernel, scratch / "kernel", kernel, memory_tree / "modules")
    if recipe.disk is None:
        let_in(public_key, tree)
    initrd.pack(memory_tree, directory / "initrd")
    if recipe.disk is not None:
        note(f"disk: installing {len(recipe.disk.packages)} packages of {recipe.disk.suite} and what they need")
        disk.install(recipe, recipe.disk, tree, scratch)
        let_in(public_key, tree)
        note("disk: file system")
        disk.make_file_system(recipe.disk, tree, directory / "root.raw")
