"""A guest's disk: a qcow2 file of its own on a base that all guests share."""

from __future__ import annotations

from pathlib import Path

from vmdedup.errors import EnvironmentLacksError, GuestError
from vmdedup.ours import child


def make_overlay(base: Path, overlay: Path) -> Path:
    """Make an empty overlay on a raw base, which QEMU may write whoever it runs as.

    EnvironmentLacksError: no qemu-img. GuestError: what it says.
    """
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base.resolve()), "-F", "raw", str(overlay)]
    try:
        done = child.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        raise EnvironmentLacksError("qemu-img is missing; apt install qemu-utils") from None
    if done.returncode:
        raise GuestError(f"no overlay on {base}: {' '.join(done.stderr.split())}")
    overlay.chmod(0o666)
    return overlay
