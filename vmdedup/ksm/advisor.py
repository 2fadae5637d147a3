"""The scan-time advisor: pages_to_scan is set so that a full scan takes the time that was asked for.

Plain integer arithmetic, as in the kernel; every division truncates. Times: seconds and milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

EWMA_WEIGHT = 30  # per cent of the newest value


@dataclass
class Advisor:
    """What the advisor remembers between two full scans. Source: mm/ksm.c:struct advisor_ctx."""

    scan_time: int = 0
    change: int = 0
    cpu_ms: int = 0

    def pages_to_scan(self, pages: int, scan_ms: int, cpu_ms: int, target: int, max_cpu: int, max_pages: int) -> int:
        """The next pages_to_scan, from this one, the full scan's duration and ksmd's CPU time so far.

        target: seconds; max_cpu: per cent. Source: mm/ksm.c:scan_time_advisor.
        """
        scan_time = max(1, scan_ms // 1000)
        cpu_percent = max(1, (cpu_ms - self.cpu_ms) * 100 // (scan_time * 1000))
        last = self.scan_time or scan_time
        factor = max(1, target * 100 // scan_time)
        change = max(1, scan_time * 100 // last)
        change = ((100 - EWMA_WEIGHT) * self.change + EWMA_WEIGHT * change) // 100
        wanted = pages * 100 // factor
        wanted = wanted * change // 100
        pages_per_percent = max(1, pages // cpu_percent)
        wanted = min(wanted, pages_per_percent * max_cpu)
        wanted = max(wanted, pages_per_percent * 10)
        self.scan_time, self.change, self.cpu_ms = scan_time, change, cpu_ms
        return min(wanted, max_pages)
