"""Memory of emulated guests that stands still: booted, some seconds of work, then read."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmdedup.guest.diskspec import DiskSpec, open_disk
from vmdedup.guest.machine import Guest
from vmdedup.guest.spec import GuestSpec
from vmdedup.guest.variant import Variant
from vmdedup.host.memory import Host

TICK_MS = 100


def guest_memory(name: str, mib: int, disk: DiskSpec, variant: Variant, seconds: int, **options: Any) -> NDArray[Any]:
    """All pages of a guest after so many seconds of its life, uint8[n, 4096]. options: of GuestSpec."""
    host = Host.create(mib * 256 + 64, mms=1)
    opened = open_disk(disk)
    try:
        memory = host.add(mib * 256, name)
        guest = Guest(GuestSpec(name, mib * 256, disk=disk, variant=variant, **options), memory, opened)
        guest.boot()
        for _ in range(seconds * 1000 // TICK_MS):
            guest.tick(TICK_MS)
        return np.array(memory.read_pages(np.arange(mib * 256)))
    finally:
        host.close()
        opened.close()
