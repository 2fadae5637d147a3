"""The small kernel of a guest: it owns the guest's physical memory and gives it to files and processes.

guest pages = firmware + kernel image + kernel data + page cache + anonymous memory + free
              └─── placement.py ────┘                └ pagecache.py ┘└ process.py ┘└ physical.py ┘
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from vmdedup.errors import GuestError
from vmdedup.guest.anonymous import Anonymous, Make
from vmdedup.guest.filesystem import Filesystem
from vmdedup.guest.forms import Rows, form_of
from vmdedup.guest.index import Numbers
from vmdedup.guest.linux.lists import TwoLists
from vmdedup.guest.linux.memory import LinuxMemory, image_of
from vmdedup.guest.linux.place import FULL_MEMORY, place_linux
from vmdedup.guest.linux.plain import PlainKernel
from vmdedup.guest.pagecache import PageCache
from vmdedup.guest.physical import PhysicalMemory
from vmdedup.guest.placement import Placement, place
from vmdedup.guest.process import Process
from vmdedup.guest.seeds import Words, keys, split_seed
from vmdedup.guest.spec import GuestSpec

if TYPE_CHECKING:
    from vmdedup.guest.balloon import Balloon
    from vmdedup.guest.memory import Memory

_CHUNK = 512
_KERNEL_STACK_PAGES = 8
_FIRMWARE_SEED = 0xF1
_PAGES_PER_FILE = 0.5  # of slab: two guests that looked up 2,464 and 5,000 files had 0.5 and 0.46 more
_FILES_SHARE = 14
_NONE: Numbers = np.empty(0, dtype=np.int64)


class KernelMemory(Protocol):
    """What a kernel holds of a guest's memory for itself. kept: pages that are nobody else's; 0: not to be told."""

    kept: int

    def settle(self) -> None:
        """Be there, when the guest is powered on."""

    def objects(self, count: int, label: str | int) -> Numbers:
        """Pages for more objects. label: names them in seeds. Returns the pages."""


class GuestKernel:
    """One boot of a guest.

    memory: the guest's physical memory. files: what its files hold. boots: how often it was
    booted before; with the spec's seed it decides everything that is random. mappings: all anonymous memory.
    """

    def __init__(self, spec: GuestSpec, memory: Memory, files: Filesystem, boots: int) -> None:
        self.spec = spec
        self.memory = memory
        self.form = form_of(memory)
        self.disk = files.disk
        self.seed = split_seed(spec.seed, "boot", boots)
        self.own, self.placement = self._kernel_memory()
        self.physical = PhysicalMemory(memory, self.placement.order, spec.free_pages)
        self.files = files
        self.cache = (PageCache if spec.plain_pages else TwoLists)(memory.pages, files.pages)
        self.processes: list[Process] = []
        self.balloon: Balloon | None = None
        self.mappings: list[Anonymous] = []
        self._chunk = min(_CHUNK, memory.pages // 32)
        self.pages_read = 0
        self.pages_missed = 0
        self.pages_written = 0
        self._started = 0
        # Linux begins to reclaim before the last page is gone, and then reclaims some more.
        pages, plain = memory.pages, spec.plain_pages
        self._least_free, self._reclaimed = (0, pages // 128) if plain else (pages // 64, pages // 32)

    def _kernel_memory(self) -> tuple[KernelMemory, Placement]:
        spec, pages = self.spec, self.memory.pages
        if spec.plain_pages:
            return PlainKernel(self), place(pages, spec.plain_pages, spec.aslr, spec.jitter, self.seed)
        image = image_of(self.disk, pages)
        where = place_linux(pages, image.pages, image.packed_pages, spec.aslr, spec.jitter, self.seed)
        return LinuxMemory(self, image, where), where

    def start(self) -> None:
        """Place firmware, kernel image and kernel data."""
        firmware = self.placement.firmware
        self.memory.write_pages(firmware, self.form.heap(keys(_FIRMWARE_SEED, firmware), self.spec.heap))
        self.own.settle()

    @property
    def base_pages(self) -> int:
        """Pages of memory, but no more than a Linux fills whatever it has."""
        return min(self.memory.pages, FULL_MEMORY)

    # Files

    def read(self, file_pages: Numbers, ahead: Numbers = _NONE) -> None:
        """Read file pages, all different, through the page cache. Raises GuestError if memory runs out.

        ahead: what follows them in their file, and comes with them from the disk if any of them does.
        """
        missed = self.pages_missed
        for start in range(0, len(file_pages), self._chunk):
            self._load(file_pages[start : start + self._chunk])
        if self.pages_missed > missed:
            self._read_ahead(ahead)

    def _read_ahead(self, file_pages: Numbers) -> None:
        """Pages that nobody has asked for yet."""
        for start in range(0, len(file_pages), self._chunk):
            some = file_pages[start : start + self._chunk]
            some = some[self.cache.lookup(some) < 0]
            frames = self.allocate(len(some), overwritten=True)
            self.cache.insert(some, frames, used=False)
            self.memory.write_pages(frames, self.files.read(some))
            self.memory.hint(frames)

    def rewrite(self, file_pages: Numbers) -> None:
        """Write other bytes into whole pages of the disk's files, all different, through the page cache."""
        self.files.rewrite(file_pages)
        self._write(file_pages)

    def overwrite(self, file_pages: Numbers, content_keys: Words) -> None:
        """Write other content into pages of new files, all different, through the page cache."""
        self.files.replace(file_pages, content_keys)
        self._write(file_pages)

    def look_up(self, files: int) -> None:
        """Keep what the kernel knows of so many files more: names, places, sizes; no more than there is room for."""
        most = self.memory.pages // _FILES_SHARE
        self.own.objects(min(int(files * _PAGES_PER_FILE), most), "files")

    def write_new(self, content_keys: Words) -> Numbers:
        """Write a new file, one page for each key, through the page cache. Returns its file pages."""
        file_pages = self.files.create(content_keys)
        self._write(file_pages)
        return file_pages

    def delete(self, file_pages: Numbers) -> None:
        """Delete a new file that nobody maps: what is cached of its pages, all different, is free memory then."""
        self.physical.release(self.cache.drop(file_pages))

    def _write(self, file_pages: Numbers) -> None:
        for start in range(0, len(file_pages), self._chunk):
            some = file_pages[start : start + self._chunk]
            frames = self._frames_for(some)[0]
            self.memory.write_pages(frames, self.files.read(some))
            self.memory.hint(frames)
        self.pages_written += len(file_pages)

    def map_file(self, file_pages: Numbers) -> None:
        """Read and map file pages, all different, for a process; such pages are the last to be evicted."""
        for start in range(0, len(file_pages), self._chunk):
            self.cache.map(self._load(file_pages[start : start + self._chunk]))

    def _load(self, file_pages: Numbers) -> Numbers:
        frames, missing = self._frames_for(file_pages)
        if len(missing):
            self.memory.write_pages(frames[missing], self.files.read(file_pages[missing]))
            self.memory.hint(frames[missing])
        if len(missing) < len(frames):
            present = np.ones(len(frames), dtype=np.bool_)
            present[missing] = False
            self.memory.touch(frames[present])
        self.pages_read += len(file_pages)
        self.pages_missed += len(missing)
        return frames

    def _frames_for(self, file_pages: Numbers) -> tuple[Numbers, Numbers]:
        """The frames of file pages, and which of them are new and must be filled."""
        frames = self.cache.lookup(file_pages)
        present = frames >= 0
        self.cache.use(frames[present])
        missing = np.flatnonzero(~present)
        if len(missing):
            frames[missing] = self.allocate(len(missing), overwritten=True, keep=frames[present])
            self.cache.insert(file_pages[missing], frames[missing])
        return frames, missing

    # Memory

    def allocate(self, count: int, overwritten: bool, keep: Numbers = _NONE) -> Numbers:
        """Free pages, by eviction if need be; see PhysicalMemory.allocate. Raises GuestError without any."""
        short = count + self._least_free - self.physical.free
        if short > 0:
            self.physical.release(self.cache.evict(max(short, self._reclaimed), keep))
        if count > self.physical.free and self.balloon is not None:
            self.balloon.relieve(count - self.physical.free)
        if count > self.physical.free:
            raise GuestError(
                f"guest {self.spec.name!r} is out of memory: {self.memory.pages} pages, of which "
                f"{self.anonymous_pages()} are anonymous; give it more memory or its workload less to do"
            )
        return self.physical.allocate(count, overwritten)

    def available(self) -> int:
        """Pages that programs can still have: free ones, and files' that nobody maps."""
        return self.physical.free + self.cache.unmapped()

    def grow(self, memory: Anonymous, content_keys: Words) -> None:
        """Append filled pages to anonymous memory."""
        memory.grow(self.allocate(len(content_keys), overwritten=True), content_keys)

    def heap_content(self, content_keys: Words) -> Rows:
        """Heap pages as this guest's processes see them, in the memory's form."""
        return self.form.heap(content_keys, self.spec.heap, self.placement.shift)

    def anonymous(self, make: Make | None = None) -> Anonymous:
        """Empty anonymous memory. make: what its pages hold; heap content if not said."""
        mapping = Anonymous(self.memory, self.heap_content if make is None else self._formed(make))
        self.mappings.append(mapping)
        return mapping

    def _formed(self, make: Make) -> Make:
        return lambda content_keys: self.form.of(make(content_keys))

    def forget(self, mapping: Anonymous) -> None:
        """A mapping that is empty is no more."""
        self.mappings.remove(mapping)

    def anonymous_pages(self) -> int:
        """Pages of all anonymous memory."""
        return sum(len(mapping) for mapping in self.mappings)

    # Processes

    def spawn(self, text: Numbers, program: int, heap_pages_wanted: int) -> Process:
        """Start a process. text: file pages that it maps, all different. program: its name in seeds.

        Its initial heap is alike, for the share that the heap mix states, in all processes of that program.
        """
        self._started += 1
        own = split_seed(self.seed, "process", self._started)
        self.map_file(text)
        slabs = self.own.objects(_KERNEL_STACK_PAGES, self._started)
        process = Process(program, own, text, slabs, self.anonymous())
        self.processes.append(process)
        self.grow(process.heap, process.initial_keys(heap_pages_wanted, self.spec.heap))
        return process

    def run_programs(self) -> None:
        """Programs at work use what they have mapped, and have read again what was evicted of it."""
        for process in self.processes:
            if process.awake:
                frames = self.cache.lookup(process.text)
                self.cache.use(frames[frames >= 0])
                self.map_file(process.text[frames < 0])

    def exit(self, process: Process) -> None:
        """End a process: its text stays cached, its memory is free."""
        self.cache.unmap(process.text)
        self.physical.release(process.heap.shrink(len(process.heap)))
        self.mappings.remove(process.heap)
        self.physical.release(process.slabs)
        self.processes.remove(process)

    # Checks

    def verify(self) -> int:
        """Read back all that can be made again. Returns how many pages. Raises GuestError on a wrong one."""
        file_pages, frames = self.cache.contents()
        for start in range(0, len(frames), self._chunk):
            some = slice(start, start + self._chunk)
            wrong = (self.memory.read_pages(frames[some]) != self.files.read(file_pages[some])).any(axis=1)
            if wrong.any():
                page = int(frames[some][np.flatnonzero(wrong)[0]])
                raise GuestError(f"page {page} of {self.spec.name!r} does not hold its file's bytes")
        return len(frames) + sum(process.heap.verify() for process in self.processes)

    def used(self) -> NDArray[np.int64]:
        """All pages that are not free."""
        free = np.zeros(self.memory.pages, dtype=np.bool_)
        free[self.physical.free_pages()] = True
        return np.flatnonzero(~free)
