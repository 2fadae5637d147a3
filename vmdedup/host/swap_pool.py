"""Where compressed swapped pages lie: frames of the host, each divided into CELLS cells. Kernels only.

An object takes so many cells as it has bytes for, in one frame or two, wherever these are; so it does not matter in
which order objects come and go. `kept` has a bit for each cell of a frame that is taken: 0, and the frame is none of
the pool's. Whoever takes the last bit away frees the frame. Killed between taking cells and writing into a record where
they are, a process leaves cells taken that nobody has: recovery counts the records.
"""

from __future__ import annotations

from typing import Any

from vmdedup.host.absent import free_cells
from vmdedup.host.frames import NO_FRAME, alloc_frame
from vmdedup.host.layout import CELLS, CTL_SWAP_CURSOR, CTL_SWAP_FRAMES, PACKED
from vmdedup.jit.atomic import cas, fetch_add, load, store
from vmdedup.jit.kernel import kernel

ALL_CELLS = (1 << CELLS) - 1
LOOK = 2048  # frames that are looked at for room before a fresh one is taken
LEAST = 8  # cells of an object's first frame, if it gets two


@kernel
def count_cells(cells: int) -> int:
    """How many bits are set."""
    n = 0
    while cells:
        cells &= cells - 1
        n += 1
    return n


@kernel
def cells_for(h: Any, length: int) -> int:
    """How many cells so many bytes take."""
    size: int = h.bytes.shape[1] // CELLS
    return (length + size - 1) // size


@kernel
def _lowest_free(used: int, wanted: int) -> int:
    """As many free cells as are wanted, or all that there are."""
    cells = 0
    for cell in range(CELLS):
        if wanted > 0 and not used & (1 << cell):
            cells |= 1 << cell
            wanted -= 1
    return cells


@kernel
def _take_cells(h: Any, pfn: int, wanted: int) -> int:
    """Take cells of a frame of the pool. Returns those taken, which may be fewer; 0: it is none, or full."""
    while True:
        used = load(h.kept, pfn)
        if used == 0 or used >= ALL_CELLS:
            return 0
        cells = _lowest_free(used, wanted)
        if cas(h.kept, pfn, used, used | cells):
            return cells


@kernel
def _find_cells(h: Any, record: int, wanted: int) -> int:
    """Take cells in one frame of the pool, or two, and note them in a record. Returns how many are wanting still."""
    s = h.swaps[record]
    start = load(h.ctl, CTL_SWAP_CURSOR)
    frames = len(h.frames) - 1
    for step in range(min(LOOK, frames)):
        pfn = 1 + (start + step) % frames
        used = load(h.kept, pfn)
        if used == 0 or used >= ALL_CELLS:
            continue
        room = CELLS - count_cells(used)
        if s["cells0"] == 0 and room >= min(wanted, LEAST):
            s["at0"] = pfn
            s["cells0"] = _take_cells(h, pfn, wanted)
            wanted -= count_cells(s["cells0"])
        elif s["cells0"] != 0 and room >= wanted:
            s["at1"] = pfn
            s["cells1"] = _take_cells(h, pfn, wanted)
            if count_cells(s["cells1"]) == wanted:
                wanted = 0
            else:
                free_cells(h, pfn, s["cells1"])
                s["cells1"] = 0
        if wanted == 0:
            store(h.ctl, CTL_SWAP_CURSOR, pfn - 1)
            return 0
    return wanted


@kernel
def pack_into(h: Any, record: int, data: Any, length: int) -> bool:
    """Keep bytes in the pool, and note in a record where. data: uint8[length at least]. False: no frame is left."""
    s = h.swaps[record]
    s["cells0"] = 0
    s["cells1"] = 0
    wanted = _find_cells(h, record, cells_for(h, length))
    if wanted > 0:
        fresh = alloc_frame(h, 0)
        if fresh == NO_FRAME:
            free_cells(h, s["at0"], s["cells0"])
            return False
        fetch_add(h.ctl, CTL_SWAP_FRAMES, 1)
        store(h.kept, fresh, (1 << wanted) - 1)
        store(h.ctl, CTL_SWAP_CURSOR, fresh - 1)
        if s["cells0"] == 0:
            s["at0"] = fresh
            s["cells0"] = (1 << wanted) - 1
        else:
            s["at1"] = fresh
            s["cells1"] = (1 << wanted) - 1
    done = _copy_cells(h, s["at0"], s["cells0"], data, 0, length, True)
    _copy_cells(h, s["at1"], s["cells1"], data, done, length, True)
    s["length"] = length
    store(h.swaps["place"], record, PACKED)
    return True


@kernel
def unpack_from(h: Any, record: int, data: Any) -> int:
    """Copy what the pool keeps for a record to data, uint8[a page]. Returns how many bytes."""
    s = h.swaps[record]
    length: int = s["length"]
    done = _copy_cells(h, s["at0"], s["cells0"], data, 0, length, False)
    _copy_cells(h, s["at1"], s["cells1"], data, done, length, False)
    return length


@kernel
def _copy_cells(h: Any, pfn: int, cells: int, data: Any, start: int, end: int, inward: bool) -> int:
    """Copy bytes start to end, as far as they go, into cells or (inward=False) out of them. Returns where it ended."""
    size = h.bytes.shape[1] // CELLS
    for cell in range(CELLS):
        if cells & (1 << cell):
            count = min(size, end - start)
            for b in range(count):
                if inward:
                    h.bytes[pfn, cell * size + b] = data[start + b]
                else:
                    data[start + b] = h.bytes[pfn, cell * size + b]
            start += count
    return start
