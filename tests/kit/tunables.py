"""Tunables of the kernel's KSM as they might have been before a session, and as it changed them."""

from __future__ import annotations

from vmdedup.live.ksm.lock import KsmLock
from vmdedup.live.ksm.sysfs import KsmFiles

BEFORE = {
    "run": "1",
    "pages_to_scan": "123",
    "sleep_millisecs": "20",
    "advisor_mode": "none",
    "max_page_sharing": "256",
}

CHANGED = {"run": "0", "pages_to_scan": "7", "sleep_millisecs": "4000000000", "max_page_sharing": "2"}


def tunables() -> dict[str, str]:
    """Return all tunables at a moment when nobody else has changed any."""
    lock = KsmLock(wait=120)
    files = KsmFiles()
    try:
        return files.save() | {"pages_shared": files.text("pages_shared")}
    finally:
        files.close()
        lock.close()
