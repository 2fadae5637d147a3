"""Figures that any policy can read off the host's page tables."""

from __future__ import annotations

import numpy as np

from vmdedup.host.layout import NODE_SHIFT
from vmdedup.host.memory import Host
from vmdedup.host.rebuild import frames_behind
from vmdedup.policy.sharing import count_shared


def shared_pages(host: Host) -> tuple[int, int]:
    """Shared frames that several pages map, and the pages beyond the first of each."""
    maps = np.zeros(len(host.arrays.frames), np.int32)
    count_shared(host.arrays, maps)
    several = maps[maps > 1]
    return len(several), int(several.sum()) - len(several)


def merging_pages(host: Host, mm: int) -> int:
    """Pages of an address space that map a shared frame."""
    frames = frames_behind(host.memory(mm).entries)
    words = host.arrays.frames[frames[frames != 0]]
    return int((words >> NODE_SHIFT != 0).sum())
