"""Raw dumps: byte n of the file is byte n of the memory. QEMU's pmemsave, Firecracker's memory file, VMware's .vmem.

Holes of a sparse file are pages of zeros. Memory that a machine has above 4 GiB stands where the file has it: pmemsave
writes guest-physical addresses, holes included, other tools write the RAM without its holes.
"""

from __future__ import annotations

from collections.abc import Iterator

from vmdedup.dump.base import Region
from vmdedup.dump.extents import Extent, ExtentDump, split_holes
from vmdedup.dump.file import DumpFile
from vmdedup.errors import DumpError
from vmdedup.units import PAGE_SIZE


def open_raw(file: DumpFile) -> ExtentDump:
    """A raw dump. DumpError: its size is no number of pages."""
    pages = whole_pages(file)
    whole = Extent(0, 0, pages, 0)

    def runs() -> Iterator[Extent]:
        return split_holes(whole, file.data())

    return ExtentDump(file.name, "raw", [Region("memory", 0, pages)], [file], runs)


def whole_pages(file: DumpFile) -> int:
    """A raw file's size in pages. DumpError: it is none, or not whole."""
    if file.size == 0:
        raise DumpError(f"{file.name}: is empty; dump again")
    if file.size % PAGE_SIZE:
        raise DumpError(
            f"{file.name}: is of no known format, nor a raw dump, as its size of {file.size} bytes is no multiple of "
            f"{PAGE_SIZE}; is it truncated, or no memory dump?"
        )
    return file.size // PAGE_SIZE
