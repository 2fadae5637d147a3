"""A few small valid dumps of each format, as the fuzzer mutates them and tests truncate them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from kit import dump_writers as write
from kit import dump_writers_odd as odd

PAGES = [bytes(4096), b"\xcc" * 4096, bytes(range(256)) * 16, b"vmdedup!" * 512, b"\x01" + bytes(4095)]
MEMORY: write.Memory = {number: PAGES[number % 5] for number in [0, 1, 2, 3, 4, 5, 9, 10, 1000, 1001, 1002, 1003]}
SOME_ABSENT: write.Memory = {**MEMORY, 11: None, 1003: None}
STREAM = write.qemu(
    {"pc.ram": 16, "vga.vram": 4},
    [("pc.ram", n, PAGES[n % 5] if n % 2 else n) for n in range(16)] + [("vga.vram", 1, 7), ("vga.vram", 1, PAGES[3])],
)
FILLS = write.qemu({"m0": 100, "x": 1}, [("m0", n % 100, n % 3) for n in range(150)] + [("x", 0, PAGES[2])], rounds=3)
BITMAPS = [
    write.section(1, 9, "dirty-bitmap", odd.dirty_bitmap(odd.bitmap_begins(b"drive0", b"backup"))),
    write.section(2, 9, "", odd.dirty_bitmap(odd.bitmap_bits(0, 64, b"\xff" * 32), odd.bitmap_bits(64, 64, None))),
]
WITH_BITMAPS = write.qemu({"pc.ram": 9}, [("pc.ram", n, PAGES[n % 5]) for n in range(9)], between=BITMAPS)
BIG: write.Memory = {number: PAGES[number % 5] for number in range(64) if number // 16 != 1}
KDUMP = write.kdump(SOME_ABSENT)
STATE = {"memory-manager": {"state": json.dumps({"memory_ranges": {"data": [{"gpa": 0, "length": 8192}]}})}}

ODD_BLOCKS = [
    (0x1018, 9000, b"".join(PAGES)[:9000]),
    (0x1018 + 9000, 4096, PAGES[2]),
    (0x10000, 8191, None),
    (0x20000, 8191, b"".join(PAGES)[5000:13191]),
]

FILES: dict[str, list[bytes]] = {
    "raw": [write.raw({1: PAGES[2], 3: PAGES[3]})],
    "elf": [
        write.elf(SOME_ABSENT),
        write.elf(MEMORY, wide=False),
        write.elf(MEMORY, order=">", many=True),
        write.elf(MEMORY, virtual=True),
        odd.core(
            [
                (1 << 63, 0x3000, PAGES[2] * 2, 8192, None),
                (1, 0x1800, PAGES[1] + PAGES[3] * 2, 3 * 4096 + 50, None),
                (2, 0x4800, PAGES[4][:3000], 3000, None),
                (3, odd.NOWHERE, PAGES[4], 4096, None),
                (4, 0x9000, b"", 8192, 1 << 63),
                (5, 0x10200, PAGES[2][:100] + PAGES[3], 4196, None),
                (6, 0x10000, PAGES[4][:512], 512, None),
                (7, 0x11264, PAGES[1], 4096, None),
            ]
        ),
        odd.core([(0, 0x1000, PAGES[2] + PAGES[3], 8192, None)], flags=1, end=64 + 112 + 20 + 5000),
    ],
    "kdump": [
        KDUMP,
        *(write.kdump(SOME_ABSENT, codec) for codec in ("none", "lzo", "snappy", "zstd")),
        write.kdump({**BIG, 63: None}, "zlib", 65536),
        write.kdump(MEMORY, "snappy", wide=False, version=5),
        write.kdump(SOME_ABSENT, order=">"),
        write.kdump(SOME_ABSENT, "none", lost={10, 1001, 1002}),
        write.kdump(SOME_ABSENT, part=(3, 1002)),
    ],
    "flattened": [write.flattened(KDUMP), write.flattened(write.elf(MEMORY), [64, 8, 1])],
    "xen": [odd.xen(MEMORY), odd.xen(MEMORY, ">", machine_numbers=True, padding=2)],
    "qemu": [STREAM, FILLS, WITH_BITMAPS],
    "mapped-ram": [write.mapped_ram({"pc.ram": PAGES, "x": PAGES[:1]})],
    "libvirt-save": [write.libvirt_save(STREAM, 80, codec) for codec in write.SAVE_CODECS],
    "lime": [write.lime(MEMORY), odd.avml(ODD_BLOCKS, b"EMiL")],
    "avml": [write.avml(MEMORY), write.avml(MEMORY, 5000), write.avml(MEMORY, plain=True), odd.avml(ODD_BLOCKS)],
}


def write_criu(folder: Path) -> Path:
    """Two processes, one with a parent image."""
    write.criu(folder / "images", {5: PAGES[1], 6: PAGES[2], 7: None, 20: PAGES[3]}, parent=[8, 9, 21])
    write.criu(folder / "images", {3: PAGES[4], 700: PAGES[2]}, pid=13, pages_id=300)
    write.criu(folder / "older", {8: PAGES[3], 9: PAGES[4], 10: PAGES[1]})
    (folder / "images" / "parent").symlink_to("../older")
    return folder / "images"


def write_cloud_hypervisor(folder: Path) -> Path:
    """A snapshot of two pages in one range."""
    (folder / "memory-ranges").write_bytes(PAGES[2] + PAGES[3])
    (folder / "state.json").write_text(json.dumps(STATE))
    (folder / "config.json").write_text("{}")
    return folder


def write_firecracker(folder: Path) -> str:
    """A full snapshot and a diff."""
    (folder / "base").write_bytes(PAGES[2] * 4)
    write.sparse(folder / "diff", {1: PAGES[3], 3: PAGES[0]}, 4)
    return f"{folder / 'base'}+{folder / 'diff'}"


FOLDERS: dict[str, Callable[[Path], Path | str]] = {
    "criu": write_criu,
    "cloud-hypervisor": write_cloud_hypervisor,
    "firecracker": write_firecracker,
}
FORMATS = [*FILES, *FOLDERS]


def write_sample(form: str, number: int, folder: Path) -> Path | str:
    """The dump of a format and number, written into an empty folder: what to open."""
    if form in FOLDERS:
        return FOLDERS[form](folder)
    path = folder / "dump"
    path.write_bytes(FILES[form][number % len(FILES[form])])
    return path


def page_of(kind: int) -> bytes:
    """A page: zeros, one filled with a byte, one that compresses, one that does not."""
    if kind < 3:
        return bytes([kind * 0x66]) * 4096
    if kind < 6:
        return bytes([kind]) * 17 + bytes(4079)
    return np.random.default_rng(kind).bytes(4096)
