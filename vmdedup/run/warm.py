"""Compile, or load from the cache, the kernels that counting needs, before a run's clock starts."""

from __future__ import annotations

import numpy as np

from vmdedup.host.memory import Host
from vmdedup.run.backend.counting import host_mappings, possible_on, saved_pages


def warm_up() -> None:
    """Count a small host once in every way: under a second, or half a minute if nothing is cached."""
    host = Host.create(pages=64, mms=2)
    try:
        memory = host.add(2, "warm")
        memory.write_pages(np.arange(2), np.zeros((2, host.page_size), np.uint8))
        host.bury(memory.fork("child").mm)
        host.recover()
        mappings = host_mappings(host)
        mappings.shares()
        saved_pages(host)
        possible_on(host, int(mappings.allocated.sum()), 0, zeros_are_free=False)
    finally:
        host.close()
