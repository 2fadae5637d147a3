"""The folder of compiled kernels: one for each state of the sources, a few kept, where one can write."""

from __future__ import annotations

import importlib
import os
import shutil
import tempfile
from pathlib import Path

import pytest

# The package has a function of the module's name.
kernel = importlib.import_module("vmdedup.jit.kernel")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder and a temporary folder that nobody else uses."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package, from which the digest is taken."""
    copy = tmp_path / "vmdedup"
    shutil.copytree(Path(str(kernel.__file__)).parent.parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(kernel, "__file__", str(copy / "jit" / "kernel.py"))
    return copy


def touch(source: Path) -> None:
    """Change a source file."""
    source.write_bytes(source.read_bytes() + b"\n")


def test_the_digest_depends_on_every_kernel_and_layout(package: Path) -> None:
    before = kernel.sources_digest()
    assert kernel.sources_digest() == before
    for changed in ("jit/rbtree.py", "jit/atomic.py", "host/layout.py", "ksm/scan.py"):
        touch(package / changed)
        after = kernel.sources_digest()
        assert after != before, changed
        before = after
    touch(package / "errors.py")
    assert kernel.sources_digest() == before


def test_checked_kernels_have_another_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    before = kernel.sources_digest()
    monkeypatch.setattr(kernel, "BOUNDSCHECK", not kernel.BOUNDSCHECK)
    assert kernel.sources_digest() != before


def test_the_oldest_folders_go(home: Path) -> None:
    root = home / "cache" / "vmdedup" / "kernels"
    for age in range(10):
        folder = root / f"state-{age}"
        folder.mkdir(parents=True)
        os.utime(folder, (1_000_000 - age, 1_000_000 - age))
    chosen = kernel.choose_cache()
    assert chosen == root / kernel.sources_digest()
    kept = {f"state-{age}" for age in range(kernel.KEPT_CACHES)}
    assert {folder.name for folder in root.iterdir()} == kept | {chosen.name}


def test_without_a_home_the_temporary_folder_serves(home: Path) -> None:
    (home / "cache").write_text("a file where a folder should be")
    assert kernel.cache_root() == home / "temporary" / "vmdedup" / "kernels"


def test_where_nothing_can_be_kept_a_folder_of_the_moment_serves(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    (home / "temporary").mkdir()
    last = kernel.cache_root()
    assert last.parent == home / "temporary"
    assert last.is_dir()
