"""vmdedup --version: in a line, or as a document that says on what it runs, for bug reports and results."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any

import vmdedup
from vmdedup.cli.say import say, say_document

SCHEMA_VERSION = 1


def show_version(as_json: bool) -> None:
    """Print it."""
    if not as_json:
        say(f"vmdedup {vmdedup.__version__}")
        return
    say_document(document())


def document() -> dict[str, Any]:
    """Versions of vmdedup, Python, and of the packages that are there of those that it can use; kernel, machine."""
    import os
    import platform

    return {
        "schema_version": SCHEMA_VERSION,
        "vmdedup": vmdedup.__version__,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "packages": dict(_packages()),
    }


def _packages() -> list[tuple[str, str]]:
    import re

    try:
        wanted = requires("vmdedup") or []
    except PackageNotFoundError:
        wanted = []
    names = {re.match(r"[A-Za-z0-9._-]+", line)[0] for line in wanted}  # type: ignore[index]
    found = []
    for name in sorted(names):
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return found
