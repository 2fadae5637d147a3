"""Which memory of a live process is its guest's."""

from __future__ import annotations

from enum import StrEnum

from vmdedup.dump.base import Dump


class MemoryChoice(StrEnum):
    """guest: what KSM may merge, or the RAM of a QEMU guest that has that off. all: all that can be read."""

    guest = "guest"
    all = "all"


def process_memory(pid: int, choice: MemoryChoice) -> Dump:
    """A process's memory as it is now. DumpError: it cannot be read, or has no such memory."""
    raise NotImplementedError
