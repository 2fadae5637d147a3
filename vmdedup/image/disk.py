"""The root disk: a Debian system installed into a directory, and a file system made of that directory."""

from __future__ import annotations

import shlex
import uuid
from pathlib import Path

from vmdedup.image.initrd import EPOCH
from vmdedup.image.overlay import lay_over
from vmdedup.image.recipe import DiskRecipe, Recipe
from vmdedup.image.tools import run_tool

# Processes of the installation end with the one that started them, and see nobody else.
_ALONE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
_ROOT_UUID = uuid.uuid5(uuid.NAMESPACE_DNS, "vmdedup.org")


def install(recipe: Recipe, disk: DiskRecipe, tree: Path, scratch: Path) -> None:
    """Install the packages into tree, then lay the recipe's own files over it. Needs root, and the network."""
    options = [f"--dpkgopt=path-exclude={pattern}" for pattern in disk.exclude]
    if disk.finish:
        script = shlex.quote(str((recipe.directory / disk.finish).absolute()))
        options.append(f'--customize-hook=chroot "$1" /bin/sh -eu < {script}')
    run_tool(
        [
            *_ALONE,
            *("mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory"),
            *("--aptopt=APT::Install-Recommends false", f"--include={','.join(disk.packages)}"),
            *options,
            disk.suite,
            tree,
        ],
        variables={"SOURCE_DATE_EPOCH": str(EPOCH), "TMPDIR": str(scratch)},
    )
    lay_over(recipe.directory / disk.overlay, tree)


def make_file_system(disk: DiskRecipe, tree: Path, file: Path) -> None:
    """Write tree as an ext4 file system without a partition table; the file is sparse."""
    run_tool(
        [
            *("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal,^metadata_csum", "-m", "0", "-U", str(_ROOT_UUID)),
            *("-E", f"lazy_itable_init=0,root_owner=0:0,hash_seed={_ROOT_UUID}", "-d", tree, file, f"{disk.size_mib}M"),
        ],
        variables={"E2FSPROGS_FAKE_TIME": str(EPOCH)},
    )
