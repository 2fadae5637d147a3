"""What the fork server loads before it forks a ksmd. Not to be imported elsewhere: it changes its process."""

from __future__ import annotations

import gc

import numpy as np

from vmdedup.host.memory import Host
from vmdedup.ksm import adopt
from vmdedup.ksm.daemon import run_ksmd
from vmdedup.ksm.ksmd import Ksmd
from vmdedup.signals import ignore_ending

__all__ = ["run_ksmd"]


def _warm() -> None:
    """Run each kernel that ksmd uses once, on a host of its own."""
    host = Host.create(4)
    memory = host.add(2)
    memory.write_pages(np.arange(2), np.zeros((2, host.page_size), np.uint8))
    ksmd = Ksmd(host)
    ksmd.set("run", "1")
    ksmd.enter(memory.mm)
    for _ in range(3):
        ksmd.full_scan()
    ksmd.set("run", "2")
    ksmd.set("max_page_sharing", "16")
    adopt.adopt_ksm_frames(host.arrays, ksmd.arrays)
    ksmd.check()
    memory.exit()
    ksmd.exit(memory.mm)
    host.close()


ignore_ending()
_warm()
gc.collect()
gc.freeze()
