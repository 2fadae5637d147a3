"""The kernel decorator and the folder in which compiled kernels are kept."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core import config as numba_config

from vmdedup.errors import EnvironmentLacksError
from vmdedup.ours import folder
from vmdedup.ours.child import hand_on
from vmdedup.ours.passing import Passing

F = TypeVar("F", bound=Callable[..., Any])

# Numba's own types know neither _nrt nor its settings.
_njit: Any = numba.njit
config: Any = numba_config

PYTHON_MODE: bool = bool(config.DISABLE_JIT)
BOUNDSCHECK: bool = bool(config.BOUNDSCHECK)
KEPT_CACHES = 6
EXPLICIT = "NUMBA_CACHE_DIR"  # the user's own choice of a folder


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


def cache_root() -> Path | None:
    """The folder that holds one cache folder for each state of the sources; None: there is none that is ours alone.

    Numba's indexes are pickles: whoever can write there runs code in our name.
    """
    try:
        return folder.private(folder.cache() / "kernels", 0o755)
    except EnvironmentLacksError:
        return None


def choose_cache() -> Path:
    """Name this source state's cache folder, and drop the oldest of the others.

    Where nothing can be kept it is one that goes with this process, and that its children use too.
    """
    root = cache_root()
    try:
        if root is not None:
            return _chosen(root)
    except (OSError, EnvironmentLacksError):
        pass  # a full disk, or a file system that is read-only
    passing = Passing().path
    hand_on(EXPLICIT, str(passing))
    return passing


def _chosen(root: Path) -> Path:
    chosen = folder.private(root / sources_digest(), 0o755)
    os.utime(chosen)
    others = sorted((p for p in root.iterdir() if p != chosen), key=lambda p: p.stat().st_mtime, reverse=True)
    for stale in others[KEPT_CACHES:]:
        shutil.rmtree(stale, ignore_errors=True)
    if not os.access(chosen, os.W_OK):
        raise EnvironmentLacksError(f"{chosen} cannot be written")
    return chosen


if not PYTHON_MODE and EXPLICIT not in os.environ:
    config.CACHE_DIR = str(choose_cache())
