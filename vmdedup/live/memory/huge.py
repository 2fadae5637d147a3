"""New huge pages kept away from guests: while their memory is first touched, or from then on.

QEMU advises its guests' RAM MADV_HUGEPAGE, and khugepaged makes huge pages of a paused guest's memory, too, filling
holes with zeros: at moments of its own, so nothing can be compared page by page while it works.
Source: Documentation/admin-guide/mm/transhuge.rst.
"""

from __future__ import annotations

from pathlib import Path

from vmdedup.live.guardian.guardian import Guardian

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def without_huge_pages(guardian: Guardian, path: Path = HUGE_PAGES) -> None:
    """Have the kernel make no more huge pages until the guardian has done its work, whatever programs advise.

    Those there are stay. khugepaged stops, too. Nothing is done where a kernel has no huge pages.
    """
    if not path.exists():
        return
    text = path.read_text()
    before = text.partition("[")[2].partition("]")[0] or text.strip()
    if before != "never":
        guardian.write(path, "never", before)
