"""What guests hold, class by class: real ones from dumps, emulated ones from themselves; docs/composition.md.

    python -m benchmarks.composition webdb=web-0.raw webdb=web-1.raw
    python -m benchmarks.composition webdb=web-0.raw webdb=web-1.raw idle=up-0.raw idle=up-1.raw --docs
    python -m benchmarks.composition --booted debian up-0.raw up-1.raw     what a boot leaves in the page cache

Classes of real pages are what the guest's own kernel says of them (page_records). WORKLOAD=DUMP: emulated guests that
do that workload stand beside them, as many, as large, with --image as their disk, after --seconds.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lz4.block
import numpy as np
import xxhash
import zstandard
from numpy.typing import NDArray

from benchmarks.page_records import ANONYMOUS, CACHE, CLASSES, FREE, OTHER, RECORDS, RESERVED, SLAB, Pages, classes_of
from vmdedup.guest.diskspec import DiskSpec, open_disk
from vmdedup.guest.linux.memory import LinuxMemory
from vmdedup.guest.machine import Guest
from vmdedup.guest.spec import GuestSpec
from vmdedup.host.memory import Host
from vmdedup.units import PAGE_SIZE

TICK_MS = 100
_SAMPLE = 400  # pages of a class that are packed
_POISON = 0xCC


@dataclass(frozen=True)
class Held:
    """The memory of a guest, (n, 4096) bytes, and the class of each page."""

    name: str
    pages: Pages
    classes: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    plain: NDArray[np.bool_]

    @classmethod
    def of(cls, name: str, pages: Pages, classes: NDArray[np.int64]) -> Held:
        """plain: pages that are neither zeros nor poison."""
        hashes = np.array([xxhash.xxh3_64_intdigest(page) for page in pages], dtype=np.uint64)
        plain = pages.any(axis=1) & ~(pages == _POISON).all(axis=1)
        return cls(name, pages, classes, hashes, plain)


@dataclass(frozen=True)
class Row:
    """One class of one side, means over its guests: per cent of memory, of the class, bits a byte, packed shares."""

    memory: float
    zero: float
    poison: float
    copies: float
    shared: float
    entropy: float
    lz4: float
    zstd: float


def rows_of(guests: Sequence[Held]) -> dict[str, Row]:
    """A row for each class, and one for all pages."""
    every: dict[str, Row] = {}
    for number, name in enumerate((*CLASSES, "all")):
        chosen = [held.classes == number if number < len(CLASSES) else held.classes >= 0 for held in guests]
        found = [
            _row(held, mask, [other for other in guests if other is not held])
            for held, mask in zip(guests, chosen, strict=True)
        ]
        every[name] = Row(*np.mean(found, axis=0).round(4).tolist())
    return every


def _row(held: Held, mask: NDArray[np.bool_], others: Sequence[Held]) -> tuple[float, ...]:
    count = max(1, int(mask.sum()))
    poison = mask & (held.pages[:, 0] == _POISON) & ~held.plain
    plain = np.flatnonzero(mask & held.plain)
    hashes = held.hashes[plain]
    copies = 1 - len(np.unique(hashes)) / len(hashes) if len(hashes) else 0.0
    shared = [np.isin(hashes, other.hashes).mean() for other in others] if len(hashes) else []
    sample = held.pages[plain[:: max(1, len(plain) // _SAMPLE)]]
    return (
        mask.mean(),
        (mask & ~held.plain & ~poison).sum() / count,
        poison.sum() / count,
        copies,
        float(np.mean(shared)) if shared else 0.0,
        *_packed(sample),
    )


def _packed(sample: Pages) -> tuple[float, float, float]:
    """Mean entropy, and shares that lz4 and zstd pack pages to."""
    if not len(sample):
        return 0.0, 0.0, 0.0
    packer = zstandard.ZstdCompressor(level=1)
    counts = np.array([np.bincount(page, minlength=256) for page in sample]) / PAGE_SIZE
    entropy = -(counts * np.log2(counts, out=np.zeros_like(counts), where=counts > 0)).sum(axis=1)
    by_lz4 = [len(lz4.block.compress(page.tobytes(), store_size=False)) / PAGE_SIZE for page in sample]
    by_zstd = [len(packer.compress(page.tobytes())) / PAGE_SIZE for page in sample]
    return float(entropy.mean()), float(np.mean(by_lz4)), float(np.mean(by_zstd))


def real(paths: Sequence[Path]) -> list[Held]:
    """The guests in raw dumps. Exits where one does not tell."""
    found = []
    for path in paths:
        pages = np.fromfile(path, dtype=np.uint8).reshape(-1, PAGE_SIZE)
        classes = classes_of(pages)
        if classes is None:
            sys.exit(f"{path} holds no array of struct page that is known; give raw dumps of guests with Linux 6.1")
        found.append(Held.of(path.stem, pages, classes))
    return found


def emulated(count: int, memory_pages: int, workload: str, disk: DiskSpec, seconds: int) -> list[Held]:
    """As many emulated guests, after so many seconds."""
    opened = open_disk(disk)
    host = Host.create(count * memory_pages + 64, mms=count)
    try:
        return [
            _lived(host, GuestSpec(f"e{n}", memory_pages, disk, workload=workload, seed=n), opened, seconds)
            for n in range(count)
        ]
    finally:
        host.close()
        opened.close()


def _lived(host: Host, spec: GuestSpec, disk: Any, seconds: int) -> Held:
    guest = Guest(spec, host.add(spec.memory_pages, spec.name), disk)
    guest.boot()
    for _ in range(seconds * 1000 // TICK_MS):
        guest.tick(TICK_MS)
    return Held.of(spec.name, guest.memory.read_pages(np.arange(spec.memory_pages)), classes_in(guest))


def classes_in(guest: Guest) -> NDArray[np.int64]:
    """The class of each page of an emulated guest."""
    kernel = guest.kernel
    out = np.full(guest.memory.pages, OTHER, dtype=np.int64)
    if isinstance(kernel.own, LinuxMemory):
        for label, pages in kernel.own.held.items():
            out[pages] = {"image": RESERVED, "tables": RESERVED, "records": RECORDS, "other": OTHER}.get(label, SLAB)
    out[kernel.cache.contents()[1]] = CACHE
    for mapping in kernel.mappings:
        out[mapping.frames] = ANONYMOUS
    out[kernel.physical.free_pages()] = FREE
    return out


def booted(image: str, guests: Sequence[Held]) -> list[str]:
    """Lines of guest/linux/booted: file pages that all the guests have cached, by where the first one has them."""
    disk = open_disk(DiskSpec(image=image))
    index = disk.index
    hashes = [xxhash.xxh3_64_intdigest(page) for page in disk.read(np.arange(index.pages))]
    cached = [set(held.hashes[(held.classes == CACHE) & held.plain].tolist()) for held in guests]
    everywhere = set.intersection(*cached)
    wanted = np.array([page for page, found in enumerate(hashes) if found in everywhere], dtype=np.int64)
    disk.close()
    by_file: dict[int, list[int]] = {}
    for page, file in zip(wanted.tolist(), index.file_of(wanted).tolist(), strict=True):
        by_file.setdefault(file, []).append(page - int(index.first_pages[file]))
    return [f"{index.path(file)} {_runs(pages)}" for file, pages in by_file.items()]


def _runs(pages: Sequence[int]) -> str:
    breaks = np.split(np.array(pages), np.flatnonzero(np.diff(pages) != 1) + 1)
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in breaks)


_COLUMNS = (
    ("% of memory", "memory", 100),
    ("zero %", "zero", 100),
    ("0xCC %", "poison", 100),
    ("copies inside %", "copies", 100),
    ("in another %", "shared", 100),
    ("bits a byte", "entropy", 1),
    ("lz4", "lz4", 1),
    ("zstd", "zstd", 1),
)


def table(sides: dict[str, dict[str, Row]]) -> str:
    """Markdown: a row for each class, real · emulated in each cell."""
    lines = ["| class | " + " | ".join(name for name, *_ in _COLUMNS) + " |", "|---" * (len(_COLUMNS) + 1) + "|"]
    for name in (*CLASSES, "all"):
        cells = [
            " · ".join(f"{scale * getattr(rows[name], field):.{1 if scale > 1 else 2}f}" for rows in sides.values())
            for _, field, scale in _COLUMNS
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


HEAD = """# What guests hold: real and emulated

Made by `python -m benchmarks.composition --docs` from raw dumps of real guests. Each cell is real · emulated, a mean
over guests. *% of memory*: the class's share; *zero* and *0xCC* (what Linux writes over what it gives back): shares
of the class; *copies inside*: of its other pages, those whose content the guest has once more; *in another*: those
that another of these guests has; *bits a byte*: entropy; *lz4*, *zstd*: what other pages are packed to. Nothing is
fitted to what KSM saves; where counts of pages come from stands in `vmdedup/guest/linux/memory.py`.

"""


def _groups(words: Sequence[str]) -> dict[str, list[Path]]:
    """Dumps by workload; by nothing where none is said."""
    found: dict[str, list[Path]] = {}
    for word in words:
        workload, _, path = word.rpartition("=")
        found.setdefault(workload, []).append(Path(path))
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.composition",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dumps", nargs="+", metavar="[WORKLOAD=]DUMP", help="raw dumps of real guests")
    parser.add_argument("--image", default="debian", help="disk of emulated guests (default: debian)")
    parser.add_argument("--seconds", type=int, default=90, help="how long they live (default: 90)")
    parser.add_argument("--booted", default="", metavar="IMAGE", help="print what all have cached of this image")
    parser.add_argument("--json", action="store_true", help="print one document")
    parser.add_argument("--docs", action="store_true", help="write docs/composition.md")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    given = _parser().parse_args(arguments)
    groups = {workload: real(paths) for workload, paths in _groups(given.dumps).items()}
    if given.booted:
        print("\n".join(booted(given.booted, [guest for guests in groups.values() for guest in guests])))
        return
    disk, sides = DiskSpec(image=given.image), {}
    for workload, guests in groups.items():
        sides[workload] = {"real": rows_of(guests)}
        if workload:
            made = emulated(len(guests), len(guests[0].pages), workload, disk, given.seconds)
            sides[workload]["emulated"] = rows_of(made)
    text = "\n".join(f"## {workload}\n\n{table(both)}" if workload else table(both) for workload, both in sides.items())
    if given.docs:
        Path("docs/composition.md").write_text(HEAD + text)
    print(json.dumps(sides, default=asdict) + "\n" if given.json else text, end="")


if __name__ == "__main__":
    main()
