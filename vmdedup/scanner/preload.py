"""What the fork server loads before it forks a scanner. Not to be imported elsewhere: it changes its process."""

from __future__ import annotations

import gc
import os
from contextlib import suppress

import numpy as np

from vmdedup.host.memory import Host
from vmdedup.policy.table import load_policy
from vmdedup.scanner.process import WARM, run_scanner
from vmdedup.signals import ignore_ending

__all__ = ["run_scanner"]


def _warm(name: str) -> None:
    """Run each kernel that a scanner uses once, on a host of its own."""
    host = Host.create(64, mms=4, swap=True)
    memory = host.add(32)
    memory.write_pages(np.arange(32), np.repeat(np.arange(32, dtype=np.uint8) // 2, 4096).reshape(32, 4096))
    policy = load_policy(name)(host, 0)
    try:
        policy.enter(memory.mm)
        policy.rehearse()
        memory.exit()
        policy.exit(memory.mm)
    finally:
        host.close()


ignore_ending()
for _name in os.environ.get(WARM, "").splitlines():
    with suppress(Exception):  # then first batches are slower; what is wrong is heard in a process of its own
        _warm(_name)
gc.collect()
gc.freeze()
