"""The kernel's switches for huge pages, which are as they were when the guardian has done its work.

QEMU advises its guests' RAM MADV_HUGEPAGE, and khugepaged makes huge pages of a paused guest's memory, too, filling
holes with zeros: at moments of its own, so nothing can be compared page by page while it works.
Source: Documentation/admin-guide/mm/transhuge.rst.
"""

from __future__ import annotations

from pathlib import Path

from vmdedup.errors import EnvironmentLacksError
from vmdedup.host.thp import PARKED
from vmdedup.live.guardian.guardian import Guardian

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def without_huge_pages(guardian: Guardian, path: Path = HUGE_PAGES) -> None:
    """Have the kernel make no more huge pages until the guardian has done its work, whatever programs advise.

    Those there are stay. khugepaged stops, too. Nothing is done where a kernel has no huge pages.
    """
    if path.exists():
        _write(guardian, path, "never")


def huge_pages_as_asked(guardian: Guardian, path: Path = HUGE_PAGES) -> None:
    """Have the kernel make huge pages for who asks for them only, and at first touch only: khugepaged rests.

    EnvironmentLacksError: this kernel has none.
    """
    if not path.exists():
        raise EnvironmentLacksError("this kernel has no huge pages (CONFIG_TRANSPARENT_HUGEPAGE)")
    for name, value in PARKED.items():
        _write(guardian, path.parent / "khugepaged" / name, str(value))
    _write(guardian, path, "madvise")


def _write(guardian: Guardian, path: Path, wanted: str) -> None:
    text = path.read_text()
    before = text.partition("[")[2].partition("]")[0] or text.strip()
    if before != wanted:
        guardian.write(path, wanted, before)
