"""Building an image, step by step, into an empty directory."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from vmdedup.image import initrd
from vmdedup.image.kernel import place_modules, unpack_kernel
from vmdedup.image.overlay import let_in, make_key
from vmdedup.image.packages import PackageStore
from vmdedup.image.recipe import Recipe
from vmdedup.image.tools import require_tools

Note = Callable[[str], None]
_ALWAYS = ("apt-get", "cpio", "depmod", "dpkg-deb", "lz4", "modprobe", "ssh-keygen")


def check_tools(recipe: Recipe) -> None:
    """See that what the recipe needs is installed. Raises EnvironmentLacksError."""
    require_tools(_ALWAYS)


def build(recipe: Recipe, directory: Path, packages: PackageStore, note: Note) -> None:
    """Make kernel, initrd, ssh_key, ssh_key.pub and tree below directory. note: told of every step.

    Raises EnvironmentLacksError with the remedy; OSError, of a full disk too.
    """
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        _build(recipe, directory, packages, note, Path(scratch))


def _build(recipe: Recipe, directory: Path, packages: PackageStore, note: Note, scratch: Path) -> None:
    note("key")
    public_key = make_key(directory, f"vmdedup {recipe.name}")
    note("kernel")
    kernel = unpack_kernel(recipe.kernel, packages, scratch / "kernel")
    shutil.copyfile(kernel, directory / "kernel")
    note("initrd")
    tree = directory / "tree"
    initrd.make_tree(recipe, packages, tree, scratch)
    place_modules(recipe.kernel, scratch / "kernel", kernel, tree / "modules")
    let_in(public_key, tree)
    initrd.pack(tree, directory / "initrd")
