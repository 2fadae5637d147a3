"""A guest's RAM written to a raw file, through /proc/PID/mem: faster than by QEMU, and no job of libvirt's.

The file is sparse: pages that the process does not have, or has as the zero page, are holes. It is in the order of
QEMU's RAM block, which is that of guest addresses up to 3 GiB.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from vmdedup.errors import VmdedupError
from vmdedup.live.memory.guest import BLOCK_PAGES, read_pages, visible_pages
from vmdedup.units import PAGE_SIZE


def export_ram(pid: int, path: Path) -> int:
    """Write the RAM of a QEMU process, which must stand still. Returns the pages written, holes left out.

    Only what ksmd may see is found; see live.memory.guest. VmdedupError: the file cannot be written.
    """
    seen = visible_pages(pid)
    ram = seen.numbers[np.searchsorted(seen.numbers, seen.ram.first) :]
    ram = ram[: np.searchsorted(ram, seen.ram.first + seen.ram.pages)]
    try:
        with path.open("wb") as file:
            os.truncate(file.fileno(), seen.ram.pages * PAGE_SIZE)
            for start in range(0, len(ram), BLOCK_PAGES):
                numbers = ram[start : start + BLOCK_PAGES]
                pages = read_pages(pid, numbers)
                for run in np.split(np.arange(len(numbers)), np.flatnonzero(np.diff(numbers) != 1) + 1):
                    offset = (int(numbers[run[0]]) - seen.ram.first) * PAGE_SIZE
                    _write(file.fileno(), pages[run[0] : run[-1] + 1].reshape(-1).data, offset)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise VmdedupError(f"{path} cannot be written: {error.strerror}; choose another folder with --dump") from None
    return len(ram)


def _write(descriptor: int, data: memoryview, offset: int) -> None:
    while len(data):
        done = os.pwrite(descriptor, data, offset)
        data, offset = data[done:], offset + done
