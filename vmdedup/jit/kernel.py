"""The kernel decorator and the folder in which compiled kernels are kept."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core import config as numba_config

F = TypeVar("F", bound=Callable[..., Any])

# Numba's own types know neither _nrt nor its settings.
_njit: Any = numba.njit
config: Any = numba_config

PYTHON_MODE: bool = bool(config.DISABLE_JIT)
BOUNDSCHECK: bool = bool(config.BOUNDSCHECK)
KEPT_CACHES = 6


def kernel(function: F) -> F:
    """Compile a function of arrays and scalars; in Python mode return it unchanged.

    Kernels allocate nothing, so Numba's reference counting is left out (_nrt): counting array references with atomic
    instructions took more than half of ksmd's time. Kernels call each other by the dozen for each page and hand on some
    hundred words of array descriptors each time, which took half of the rest: so callees are inlined (forceinline).
    """
    compiled: F = _njit(cache=True, nogil=True, error_model="numpy", _nrt=False, forceinline=True)(function)
    return compiled


def sources_digest() -> str:
    """Hex digest over every source file of the package that defines kernels, and over Numba's version."""
    digest = hashlib.sha256(f"{numba.__version__} {BOUNDSCHECK}".encode())
    for path in sorted(Path(__file__).parent.parent.rglob("*.py")):
        text = path.read_bytes()
        if b"@kernel" in text or b"@intrinsic" in text or path.name == "layout.py":
            digest.update(path.name.encode() + text)
    return digest.hexdigest()[:16]


def cache_root() -> Path:
    """The folder that holds one cache folder for each state of the sources."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    for candidate in (Path(home), Path(tempfile.gettempdir())):
        root = candidate / "vmdedup" / "kernels"
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(root, os.W_OK):
            return root
    return Path(tempfile.mkdtemp(prefix="vmdedup-kernels-"))


def choose_cache() -> Path:
    """Name this source state's cache folder, and drop the oldest of the others."""
    root = cache_root()
    folder = root / sources_digest()
    folder.mkdir(exist_ok=True)
    os.utime(folder)
    others = sorted((p for p in root.iterdir() if p != folder), key=lambda p: p.stat().st_mtime, reverse=True)
    for stale in others[KEPT_CACHES:]:
        shutil.rmtree(stale, ignore_errors=True)
    return folder


if not PYTHON_MODE and "NUMBA_CACHE_DIR" not in os.environ:
    config.CACHE_DIR = str(choose_cache())
