"""Which vmdedup this is. Loaded on the machines that work for others."""

from __future__ import annotations

from functools import cache
from hashlib import blake2b
from pathlib import Path

import vmdedup


@cache
def code() -> str:
    """Its version, and a digest of its code."""
    digest, package = blake2b(digest_size=4), Path(vmdedup.__file__).parent
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package)}\0".encode() + path.read_bytes())
    return f"{vmdedup.__version__} (code {digest.hexdigest()})"
