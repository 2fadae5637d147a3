"""Other people's readers beside ours on the same dumps: python tests/compare_readers.py [--real]

Prints the table of docs/real.md: by whom dumps were made, how many pages they have, and in whose eyes, too. Dumps are
made by the writers of these tests; with --real also by QEMU and makedumpfile, of a Linux guest that boots (needs QEMU,
the image `tiny`, makedumpfile). Exit status 1 if a page differs. A reader that is not installed is left out, and named.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from kit import dump_writers as write
from kit import dump_writers_odd as odd
from kit.dump_contents import contents_of
from kit.dump_writers_samples import BIG, FILES, MEMORY, PAGES, SOME_ABSENT
from kit.real_dumps import dump_all, filtered
from kit.second_readers import (
    NotInstalledError,
    Pages,
    RefusedError,
    crit_pages,
    debians,
    drgn_pages,
    drgns,
    kdump_guest_pages,
    kdump_pages,
    versions,
    volatility_pages,
)
from vmdedup.dump.open import open_dump

Reader = Callable[[], Pages]
OLD, NEW = "libkdumpfile", "drgn's libkdumpfile"


@dataclass(frozen=True)
class Case:
    """One dump. form, kind: of dump. writer: who made it. opened: as we open it. readers: others, by name."""

    form: str
    kind: str
    writer: str
    opened: list[Path]
    readers: dict[str, Reader]


TEXT = PAGES[1] + PAGES[2]
VMCORE = odd.core(
    [
        (1 << 63, 0x102000, TEXT, 8192, None),
        (1, 0x1000, PAGES[3] + PAGES[4], 8192, None),
        (2, 0x100000, PAGES[3] * 2 + TEXT + PAGES[0], 5 * 4096, None),
        (3, odd.NOWHERE, PAGES[4], 4096, None),
        (4, 0x200000, b"", 8192, 1 << 62),
    ]
)
QEMUS = {
    "elf": ("ELF", "all pages"),
    "elf-paging": ("ELF", "a segment a mapping"),
    "kdump-zlib": ("flattened", "kdump, zlib"),
    "kdump-lzo": ("flattened", "kdump, lzo"),
    "kdump-snappy": ("flattened", "kdump, snappy"),
}
# Of an ELF core that leaves pages out, drgn has zeros for them.
DRGNS = {("ELF", "all pages"), ("kdump", "zlib"), ("kdump", "no free, cache or zero pages")}
SPLIT = ((0, 4), (4, 1001), (1001, 1004))
AVML: list[tuple[int, int, bytes | None]] = [
    (0x1000, 5 * 4096 - 1, b"".join(PAGES)[:-1]),
    (0x100000, 8192 - 1, (PAGES[2] + PAGES[3])[:-1]),
]
FILES_OF = {
    "ELF": [
        ("64 bit", write.elf(SOME_ABSENT)),
        ("32 bit", write.elf(MEMORY, wide=False)),
        ("big-endian, segments counted elsewhere", write.elf(MEMORY, order=">", many=True)),
        ("text twice, segments without address or contents", VMCORE),
    ],
    "kdump": [
        *((codec, write.kdump(SOME_ABSENT, codec)) for codec in write.KDUMP_CODECS),
        ("pages of 64 KiB", write.kdump({**BIG, 63: None}, "zlib", 65536)),
        ("big-endian", write.kdump(SOME_ABSENT, order=">")),
        ("32 bit", write.kdump(MEMORY, wide=False)),
        *((f"header version {number}", write.kdump(MEMORY, version=number)) for number in range(1, 6)),
        ("disk full", write.kdump(SOME_ABSENT, lost={9, 10, 1002})),
    ],
}


def by_libkdumpfile(*paths: Path) -> dict[str, Reader]:
    """Both versions of it."""
    return {OLD: partial(kdump_pages, debians, *paths), NEW: partial(kdump_pages, drgns, *paths)}


def without_old(*paths: Path) -> dict[str, Reader]:
    """Its newer version: 0.5.1 reads no flattened files, and loses the end of a segment in which another lies."""
    return {NEW: partial(kdump_pages, drgns, *paths)}


def made(folder: Path) -> Iterator[Case]:
    """Dumps of the tests' writers."""
    us = "tests' writers"

    def file(data: bytes) -> Path:
        path = folder / f"{len(list(folder.iterdir()))}"
        path.write_bytes(data)
        return path

    for form, files in FILES_OF.items():
        for kind, data in files:
            path = file(data)
            yield Case(form, kind, us, [path], (without_old if "twice" in kind else by_libkdumpfile)(path))
    parts = [file(write.kdump(SOME_ABSENT, part=part)) for part in SPLIT]
    yield Case("kdump", "split in three", us, parts, by_libkdumpfile(*parts))
    for number, data in enumerate(FILES["flattened"]):
        path = file(data)
        kind = ("kdump", "ELF")[number]
        yield Case("flattened", kind, us, [path], without_old(path))
    for kind, is_pv in ((".xen_pfn", False), (".xen_p2m", True)):
        path = file(odd.xen(MEMORY, machine_numbers=is_pv))
        readers: dict[str, Reader] = {OLD: partial(kdump_guest_pages, debians, path)}
        readers[NEW] = partial(kdump_guest_pages, drgns, path)
        yield Case("Xen", kind, us, [path], readers)
    for kind, data in (("whole pages", write.lime(MEMORY)), ("AVML's", odd.avml(AVML, b"EMiL"))):
        path = file(data)
        yield Case("LiME", kind, us, [path], {"volatility3": partial(volatility_pages, path, "lime", "LimeLayer")})
    for kind, data in (("whole pages", write.avml(MEMORY)), ("one byte short", odd.avml(AVML))):
        path = file(data)
        yield Case("AVML", kind, us, [path], {"volatility3": partial(volatility_pages, path, "avml", "AVMLLayer")})
    images = folder / "images"
    write.criu(images, {7: PAGES[1], 8: PAGES[2], 9: None, 100: PAGES[3]})
    yield Case("CRIU", "one process", us, [images], {"crit": partial(crit_pages, images)})


def real(folder: Path) -> Iterator[Case]:
    """Dumps of a Linux guest."""
    dump_all(folder)
    for name, (form, kind) in QEMUS.items():
        if (path := folder / name).exists():
            yield Case(form, kind, "QEMU", [path], (by_libkdumpfile if name == "elf" else without_old)(path))
    for kind, paths in filtered(folder):
        form, _, kind = kind.partition(", ")
        if (form, kind) == ("ELF", "disk full"):  # libkdumpfile takes it for whole, what is not there for zeros
            continue
        some = [path for path in paths if present(path)]  # libkdumpfile breaks down on parts without pages
        readers = (without_old if form == "flattened" else by_libkdumpfile)(*some)
        if (form, kind) in DRGNS:
            readers["drgn"] = partial(drgn_pages, paths[0], [*range(1 << 15), *range(0xFD000, 1 << 20)])
        yield Case(form, kind, "makedumpfile", paths, readers)


def present(path: Path) -> int:
    """How many pages are in a dump."""
    with open_dump(path) as dump:
        return dump.present


def ours(case: Case) -> Pages:
    """What we find in all files of a case."""
    found: Pages = {}
    for path in case.opened:
        found.update(contents_of(path))
    return found


def difference(mine: Pages, theirs: Pages) -> str:
    """In which pages two readers differ; "" in none."""
    if mine == theirs:
        return ""
    only = sorted(mine.keys() - theirs.keys()), sorted(theirs.keys() - mine.keys())
    unlike = [number for number in mine.keys() & theirs.keys() if mine[number] != theirs[number]]
    return f"ours alone {only[0][:5]}, theirs alone {only[1][:5]}, contents of {sorted(unlike)[:5]}"


def asked(case: Case) -> tuple[int, dict[str, str]]:
    """How many pages a dump has, and by reader how it differs; readers that are not installed are left out."""
    mine = ours(case)
    found: dict[str, str] = {}
    for name, reader in case.readers.items():
        with suppress(NotInstalledError):
            try:
                found[name] = difference(mine, reader())
            except RefusedError as error:
                found[name] = f"it refuses: {error}"
    return len(mine), found


def table(cases: Iterable[Case]) -> tuple[list[str], list[str]]:
    """Rows of kinds of one format that the same readers found equal, and lines of what was not."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    unlike: list[str] = []
    for case in cases:
        pages, found = asked(case)
        equal = ", ".join(name for name, text in found.items() if not text)
        unlike += [f"{case.form}, {case.kind}, {name}: {text}" for name, text in found.items() if text]
        if equal:
            rows.setdefault((case.form, case.writer, equal), []).append(f"{case.kind} ({pages})")
        print(f"{case.form}, {case.kind}: {equal or 'no reader'}", file=sys.stderr, flush=True)
    return [
        f"| {form} | {writer} | {'; '.join(kinds)} | {who} |" for (form, writer, who), kinds in rows.items()
    ], unlike


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", action="store_true", help="dumps of QEMU and makedumpfile, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vmdedup-readers-") as name:
        folder = Path(name)
        rows, unlike = table(chain(made(folder), real(folder)) if options.real else made(folder))
    print("; ".join(f"{name} {number}" for name, number in versions().items()), end="\n\n")
    print("| format | made by | kinds (pages) | equal page by page in |\n|---|---|---|---|", *rows, sep="\n")
    print(*unlike, sep="\n", file=sys.stderr)
    return int(bool(unlike))


if __name__ == "__main__":
    sys.exit(main())
