"""Which pages are scanned next: any of all guests' pages, each as likely. Source: waldspurger2002, section 4.1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vmdedup.host.layout import MM_LIVE
from vmdedup.host.memory import Host
from vmdedup.policy.esx.entries import to_entries


def total_pages(host: Host, mms: list[int]) -> int:
    """Pages of the address spaces that live."""
    records = host.arrays.mms[mms]
    return int(records["pages"][records["state"] == MM_LIVE].sum())


def draw_pages(host: Host, mms: list[int], random: np.random.Generator, count: int) -> NDArray[np.int64]:
    """So many pages of these address spaces, uniformly, with repetition: entry numbers, int64[count].

    Nothing if none of them lives.
    """
    records = host.arrays.mms[mms]
    records = records[records["state"] == MM_LIVE]
    ends = np.cumsum(records["pages"])
    if not len(ends) or not ends[-1]:
        return np.zeros(0, np.int64)
    drawn = random.integers(0, ends[-1], count)
    to_entries(drawn, ends, records["first"] - ends + records["pages"])
    return drawn
