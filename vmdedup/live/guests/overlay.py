"""A guest's disk: a qcow2 file of its own on a base that all guests share."""

from __future__ import annotations

import os
from pathlib import Path

from vmdedup.errors import EnvironmentLacksError, GuestError
from vmdedup.ours import child


def make_overlay(base: Path, overlay: Path, owner: tuple[int, int] | None = None) -> Path:
    """Make an empty overlay on a raw base, which its owner and root alone may read or write.

    Whoever writes an overlay says in it which file of the host's the guest, and qemu-img run by root, read.
    owner: whom QEMU runs as, user and group; None: us.
    EnvironmentLacksError: no qemu-img. GuestError: what it says.
    """
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base.resolve()), "-F", "raw", str(overlay)]
    try:
        done = child.run(command, capture_output=True, text=True, umask=0o077)
    except FileNotFoundError:
        raise EnvironmentLacksError("qemu-img is missing; apt install qemu-utils") from None
    if done.returncode:
        raise GuestError(f"no overlay on {base}: {' '.join(done.stderr.split())}")
    overlay.chmod(0o600)
    if owner is not None:
        os.chown(overlay, *owner)
    return overlay
