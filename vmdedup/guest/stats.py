"""What a guest tells of itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GuestStats:
    """What a guest says of itself. Pages are guest pages of 4096 bytes; counts are since power-on.

    state: "off", "booting", "running" or "left". virtual_ms: virtual time lived. boots: how often it was
    booted.
    kernel_pages: firmware, image and kernel data. free_pages: free, touched or not.
    """

    name: str
    state: str
    virtual_ms: float = 0.0
    boots: int = 0
    memory_pages: int = 0
    kernel_pages: int = 0
    cached_pages: int = 0
    anonymous_pages: int = 0
    free_pages: int = 0
    balloon_pages: int = 0
    processes: int = 0
    file_pages_read: int = 0
    file_pages_missed: int = 0
    file_pages_written: int = 0
    evicted_pages: int = 0
