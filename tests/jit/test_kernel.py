"""The folder of compiled kernels: one for each state of the sources, a few kept, where one can write."""

from __future__ import annotations

import importlib
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

# The package has a function of the module's name.
kernel = importlib.import_module("vmdedup.jit.kernel")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder and a temporary folder that nobody else uses."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
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


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have root find no folder of the system's, and children get nothing from this test."""
    monkeypatch.setattr("vmdedup.ours.folder.SYSTEM_CACHE", Path("/proc/none"))
    monkeypatch.setattr("vmdedup.ours.child._handed", {})


def test_without_a_home_a_folder_of_this_process_serves(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forget(monkeypatch)
    (home / "cache").write_text("a file where a folder should be")
    chosen = kernel.choose_cache()
    assert chosen.parent == home / "temporary"
    assert stat.S_IMODE(chosen.stat().st_mode) == 0o700
    assert kernel.choose_cache() != chosen, "the name can be foretold"


@pytest.mark.parametrize(("mode", "is_used"), [(0o755, True), (0o777, False), (0o1777, False), (0o773, False)])
def test_a_folder_that_others_may_write_is_not_used(
    mode: int, is_used: bool, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget(monkeypatch)
    root = home / "cache" / "vmdedup" / "kernels"
    root.mkdir(parents=True)
    root.chmod(mode)
    assert (kernel.choose_cache().parent == root) is is_used
    assert list(root.iterdir()) == [root / kernel.sources_digest()][: int(is_used)]


@pytest.mark.compiled
def test_nothing_is_left_of_a_folder_of_a_process_and_children_use_it(home: Path) -> None:
    (home / "cache").write_text("")
    program = (
        "import importlib; from vmdedup.ours import child, folder; folder.SYSTEM_CACHE = folder.Path('/proc/none');"
        "kernel = importlib.import_module('vmdedup.jit.kernel');"
        "print(kernel.config.CACHE_DIR, child.environment()['NUMBA_CACHE_DIR'])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    ours, theirs = done.stdout.split()
    assert ours == theirs
    assert Path(ours).parent == home / "temporary"
    assert not list((home / "temporary").iterdir())
