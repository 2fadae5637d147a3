"""Own files of a recipe laid over a tree, and the key with which the guest is entered."""

from __future__ import annotations

import shutil
from pathlib import Path

from vmdedup.image.tools import run_tool


def lay_over(overlay: Path, tree: Path) -> None:
    """Copy files. Programs are those that begin with "#!": modes do not survive every way of packing a project."""
    for path in sorted(path for path in overlay.rglob("*") if path.is_file()):
        place = tree / path.relative_to(overlay)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.unlink(missing_ok=True)
        shutil.copyfile(path, place)
        place.chmod(0o755 if place.read_bytes().startswith(b"#!") else 0o644)


def make_key(directory: Path, comment: str) -> Path:
    """A key pair ssh_key, ssh_key.pub. Returns the public one."""
    key = directory / "ssh_key"
    run_tool(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", key])
    return directory / "ssh_key.pub"


def let_in(public_key: Path, tree: Path) -> None:
    """Let the owner of a key log in as root."""
    folder = tree / "root" / ".ssh"
    folder.mkdir(parents=True, exist_ok=True)
    (tree / "root").chmod(0o700)
    folder.chmod(0o700)
    shutil.copyfile(public_key, folder / "authorized_keys")
    (folder / "authorized_keys").chmod(0o600)
