"""What memory dumps hold: zero, distinct and shared pages, inside each and between them.

Files are hashed and counted without NumPy and without typing's, dataclasses' or typer's import: a scan of a few raw
files would otherwise spend most of its time and memory on being started.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmdedup.scan.result import ScanResult
    from vmdedup.scan.run import scan_dumps

__all__ = ["ScanResult", "scan_dumps"]


def __getattr__(name: str) -> object:
    """The public names, imported on first use (PEP 562)."""
    if name == "scan_dumps":
        from vmdedup.scan.run import scan_dumps

        return scan_dumps
    if name == "ScanResult":
        from vmdedup.scan.result import ScanResult

        return ScanResult
    raise AttributeError(f"module 'vmdedup.scan' has no attribute {name!r}")
