"""What is mapped where, and how much: the letters of `kinds`, the figures of `mem`.

Source: Documentation/filesystems/proc.rst (smaps), Documentation/admin-guide/mm/pagemap.rst, behaviour only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oracle.objects import HUGE, PAGE_SIZE, Ksm, Mm

VMSTAT = (
    *("cow_ksm", "ksm_swpin_copy", "pswpin", "pswpout", "pgmigrate_success", "pgmigrate_fail", "thp_fault_alloc"),
    *("thp_fault_fallback", "thp_collapse_alloc", "thp_split_page", "thp_split_page_failed", "thp_deferred_split_page"),
    *("thp_underused_split_page", "thp_split_pmd", "thp_swpout", "thp_swpout_fallback", "thp_migration_success"),
    "thp_migration_split",
)
KNOWN = {"cow_ksm", "thp_fault_alloc", "thp_collapse_alloc", "thp_split_page", "thp_split_page_failed", "thp_split_pmd"}
KNOWN |= {"ksm_swpin_copy", "pswpin", "pswpout", "thp_swpout", "thp_swpout_fallback"}
KNOWN |= {"thp_fault_fallback"}  # nor a lack of memory
SINCE = {"cow_ksm": (5, 19), "ksm_swpin_copy": (5, 19), "KSM": (6, 8)}


def kind(ksm: Ksm, mm: Mm, page: int) -> str:
    """The letter of one page."""
    frame = mm.ptes.get(page)
    if page in mm.swapped:
        return "s"
    if frame is None:
        return "."
    if frame is mm.zero:
        return "Z" if page // HUGE in mm.pmds else "z"
    if frame.folio is not None:
        return "h"
    if (6, 12) <= ksm.version < (7, 0):
        return "p"
    return "k" if frame.ksm else "a"


def figures(ksm: Ksm, living: Mapping[str, Mm]) -> dict[str, Any]:
    """What has happened to memory, and what each process's mapping takes. None: nobody here counts it."""
    known = {name for name in KNOWN if ksm.version >= SINCE.get(name, (0, 0))}
    vmstat = {name: ksm.vmstat[name] if name in known else None for name in VMSTAT}
    return {"vmstat": vmstat, "kB": {name: _smaps(ksm, mm) for name, mm in living.items()}}


def _smaps(ksm: Ksm, mm: Mm) -> dict[str, int | None]:
    frames = [frame for frame in mm.ptes.values() if frame is not mm.zero]
    kib = PAGE_SIZE // 1024
    return {
        "Rss": len(frames) * kib,
        "Pss": sum((PAGE_SIZE << 12) // frame.mapcount for frame in frames) >> 22,
        "Anonymous": len(frames) * kib,
        "AnonHugePages": sum(folio is not None for folio in mm.pmds.values()) * HUGE * kib,
        "KSM": sum(frame.ksm for frame in frames) * kib if ksm.version >= SINCE["KSM"] else None,
        "Swap": len(mm.swapped) * kib,
    }
