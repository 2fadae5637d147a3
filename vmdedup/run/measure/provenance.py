"""With what, and on what, a run was made."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import vmdedup

_PACKAGES = ("numpy", "numba", "xxhash", "polars", "pydantic")


def versions() -> dict[str, str]:
    """Versions of this program, of Python, and of the packages that results depend on."""
    ours = {"vmdedup": vmdedup.__version__, "python": platform.python_version()}
    return ours | {package: _version(package) for package in _PACKAGES}


def machine() -> dict[str, Any]:
    """The machine: kernel, architecture, cores that we may use, memory in bytes."""
    return {
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
