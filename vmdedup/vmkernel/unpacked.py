"""The kernel inside a bzImage: unpacked here, in a moment, where the guest would take seconds for it.

Source: the Xen project's description of PVH, for the note by which a kernel says that it can be entered so.
"""

from __future__ import annotations

import struct

from vmdedup.errors import UsageError
from vmdedup.image import bzimage

_NOTE = struct.pack("<I", 18) + b"Xen\0"  # "physical entry point"


def unpacked(image: bytes) -> bytes | None:
    """The ELF kernel of a bzImage; None: it is packed in another way, or cannot be booted without its own unpacking."""
    try:
        kernel = bzimage.unpacked(image)
    except UsageError:  # the guest shall say what is wrong with it
        return None
    return kernel if _NOTE in kernel else None
