"""Firecracker's snapshots: a raw memory file; of a diff snapshot a sparse one, whose holes are pages not written since.

A diff alone has its holes absent; on top of its base (and of older diffs) it gives the memory as it was. Memory above
3 GiB stands in the file right after that below, as the file has no hole for devices. Source: Firecracker's
docs/snapshotting/snapshot-support.md.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from vmdedup.dump.base import Region
from vmdedup.dump.extents import HOLE, Extent, ExtentDump, split_holes
from vmdedup.dump.file import DumpFile
from vmdedup.dump.raw import open_raw, whole_pages
from vmdedup.dump.recognising import check_raw
from vmdedup.errors import DumpError

# The magic number of a state, x86's and ARM's, without the two lowest bytes: older versions have the format's version
# there. The newest write it by bitcode, which puts a few bytes before it.
STATE_MAGICS = tuple(struct.pack("<Q", magic)[2:] for magic in (0x0710198486640000, 0x07101984AAAA0000))
STATE_HEAD = 24  # bytes among which the magic number is

Piece = tuple[int, int, int]  # first page, page after, number of the file


def open_diff(file: DumpFile) -> ExtentDump:
    """A diff snapshot alone: its holes are absent."""
    pages = whole_pages(file)

    def runs() -> Iterator[Extent]:
        return (extent for extent in split_holes(Extent(0, 0, pages, 0), file.data()) if extent.offset != HOLE)

    return ExtentDump(file.name, "firecracker-diff", [Region("memory", 0, pages)], [file], runs)


def open_chain(name: str, files: Sequence[DumpFile]) -> ExtentDump:
    """A full snapshot and the diffs made after it, oldest first. DumpError: their sizes differ."""
    pages = whole_pages(files[0])
    for file in files[1:]:
        if file.size != files[0].size:
            raise DumpError(f"{file.name}: has another size than {files[0].name}, on which it cannot lie then")
    holes = [extent for extent in split_holes(Extent(0, 0, pages, 0), files[0].data()) if extent.offset == HOLE]
    pieces: list[Piece] = [(0, pages, 0)]
    layers = [[(extent.first, extent.first + extent.pages, -1) for extent in holes]]
    layers += [data_pieces(file, pages, number) for number, file in enumerate(files) if number]
    for layer in layers:
        pieces = laid_over(pieces, layer)
    extents = [
        Extent(0, low, high - low, HOLE if source < 0 else low * 4096, max(source, 0)) for low, high, source in pieces
    ]
    return ExtentDump(name, "firecracker", [Region("memory", 0, pages)], files, lambda: iter(extents))


def data_pieces(file: DumpFile, pages: int, number: int) -> list[Piece]:
    """The pages that a diff has."""
    extents = split_holes(Extent(0, 0, pages, 0), file.data())
    return [(extent.first, extent.first + extent.pages, number) for extent in extents if extent.offset != HOLE]


def laid_over(below: Sequence[Piece], above: Sequence[Piece]) -> list[Piece]:
    """Two lists of pieces as one, the second on top. Each is ascending, and so is the result."""
    result: list[Piece] = []
    top = iter(above)
    cover = next(top, None)
    for low, high, source in below:
        at = low
        while cover is not None and cover[0] < high:
            if at < cover[0]:
                result.append((at, cover[0], source))
            if cover[0] >= low:
                result.append(cover)
            at = max(at, cover[1])
            if cover[1] > high:
                break
            cover = next(top, None)
        if at < high:
            result.append((at, high, source))
    return result


def is_directory(path: Path) -> bool:
    """Whether a directory holds a snapshot. DumpError: it cannot be told which of its files has the memory."""
    return memory_file(path) is not None


def open_directory(path: Path, name: str) -> ExtentDump:
    """The memory of a directory's snapshot. DumpError: it has none, or it is damaged."""
    file = DumpFile(memory_file(path) or path, name)
    try:
        check_raw(file)
        return open_raw(file)
    except BaseException:
        file.close()
        raise


def memory_file(directory: Path) -> Path | None:
    """The memory file of a directory with a Firecracker snapshot, else None. DumpError: it cannot be told."""
    found = sorted(path for path in directory.iterdir() if path.is_file())
    states = [path for path in found if is_state(path)]
    if not states:
        return None
    rest = [path for path in found if path not in states and path.stat().st_size and path.stat().st_size % 4096 == 0]
    if len(rest) != 1:
        raise DumpError(f"{directory}: which of its {len(rest)} files is the snapshot's memory? name the file")
    return rest[0]


def is_state(path: Path) -> bool:
    """Whether a file is a snapshot's state of the virtual machine, which has no memory in it."""
    try:
        with path.open("rb") as file:
            head = file.read(STATE_HEAD)
            return any(magic in head for magic in STATE_MAGICS)
    except OSError:
        return False
