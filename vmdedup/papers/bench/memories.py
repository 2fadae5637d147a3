"""Memory of emulated guests that stands still: booted, some seconds of work, then read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vmdedup.guest.diskspec import DiskSpec, open_disk
from vmdedup.guest.machine import Guest
from vmdedup.guest.spec import GuestSpec, Variant
from vmdedup.host.memory import Host
from vmdedup.host.space import Memory
from vmdedup.papers.bench.guests import options_of_the_time

TICK_MS = 100


@contextmanager
def lived(spec: GuestSpec, seconds: int) -> Iterator[Memory]:
    """The memory of a guest, alone on a host, after its boot and so many seconds of its life."""
    host = Host.create(spec.memory_pages + 64, mms=1)
    opened = open_disk(spec.disk)
    try:
        memory = host.add(spec.memory_pages, spec.name)
        guest = Guest(spec, memory, opened)
        guest.boot()
        for _ in range(seconds * 1000 // TICK_MS):
            guest.tick(TICK_MS)
        yield memory
    finally:
        host.close()
        opened.close()


def guest_memory(name: str, mib: int, disk: DiskSpec, variant: Variant, seconds: int, **options: Any) -> NDArray[Any]:
    """All pages of a guest after so many seconds of its life, uint8[n, 4096]. options: of GuestSpec."""
    with lived(
        GuestSpec(name, mib * 256, disk=disk, variant=variant, **options_of_the_time(options)), seconds
    ) as memory:
        return np.array(memory.read_pages(np.arange(memory.pages)))
