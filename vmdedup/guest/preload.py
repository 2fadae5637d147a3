"""What the fork server loads before it forks workers. Not to be imported elsewhere: it changes its process.

Compiled code, NumPy and the guest package are loaded and warm, so that starting a guest costs a fork. All
objects that exist are put out of the garbage collector's sight, so that a worker's collections do not copy
the pages they lie in. Ctrl-C is the parent's business from the first instruction of a worker on.
"""

from __future__ import annotations

import gc

import numpy as np

import vmdedup.guest.machine
import vmdedup.guest.revived
import vmdedup.guest.vm
import vmdedup.guest.worker
import vmdedup.host.rebuild
import vmdedup.recording.reader  # noqa: F401 - for workers
from vmdedup.guest.content import heap_pages
from vmdedup.guest.diskspec import DISKS
from vmdedup.guest.mixes import HeapMix
from vmdedup.guest.seeds import keys
from vmdedup.guest.workloads import WORKLOADS
from vmdedup.host.layout import CTL_HINTS
from vmdedup.host.memory import Host
from vmdedup.late import load
from vmdedup.signals import ignore_ending
from vmdedup.units import PAGE_SIZE


def _warm() -> None:
    """Run each kernel that a guest uses once, on a host of its own."""
    host = Host.create(2)
    memory = host.add(2)
    pages = np.arange(2)
    memory.write_pages(pages, heap_pages(keys(0, pages), HeapMix()))
    memory.write_bytes(pages, np.array([0, PAGE_SIZE - 8]), np.ones((2, 8), dtype=np.uint8))
    memory.read_pages(pages)
    memory.touch(pages)
    host.arrays.ctl[CTL_HINTS] = 1
    memory.hint(pages)
    memory.discard(pages)
    host.bury(memory.fork("child").mm)  # what a run does when a guest dies: compiled here, so that it finds it so
    host.recover()
    memory.exit()
    host.close()


ignore_ending()
for _place in (*DISKS.values(), *WORKLOADS.values()):
    load(_place)
_warm()
gc.collect()
gc.freeze()
