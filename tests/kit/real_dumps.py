"""Dumps of one Linux guest, stopped, by QEMU in all its formats, and of these by makedumpfile."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from kit.qemu_monitor import QEMU, Qemu, qemu
from vmdedup.errors import EnvironmentLacksError
from vmdedup.image.store import Image, require

NAME = b"VMCOREINFO\0\0"
FORMATS = ("elf", "kdump-zlib", "kdump-lzo", "kdump-snappy")
FILTERS = {
    "kdump, uncompressed": (),
    "kdump, zlib": ("-c",),
    "kdump, lzo": ("-l",),
    "kdump, zstd": ("-z",),
    "kdump, no free, cache or zero pages": ("-c", "-d", "31"),
    "ELF, all pages": ("-E",),
    "ELF, no free, cache or zero pages": ("-E", "-d", "31"),
}
PATIENCE = 300.0


class LacksError(Exception):
    """Something is not installed; the message says what."""


def needed() -> Image:
    """The image that boots. LacksError: it, QEMU or makedumpfile cannot be had."""
    for program, package in ((QEMU, "qemu-system-x86"), ("makedumpfile", "makedumpfile")):
        if shutil.which(program) is None:
            raise LacksError(f"needs {program}; install Debian's {package}")
    try:
        return require("tiny")
    except EnvironmentLacksError as error:
        raise LacksError(str(error)) from None


def dump_all(folder: Path) -> None:
    """Boot the guest, stop it, and dump it into files named by QEMU's format; "raw" has guest-physical memory."""
    image = needed()
    line = image.command_line("guest-1", "nokaslr")
    kernel = ("-cpu", "max", "-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", line)
    with qemu(folder, image.memory_mib, *kernel) as machine:
        wait(machine, image.ready)
        machine.do("stop")
        machine.do("pmemsave", val=0, size=image.memory_mib << 20, filename=str(folder / "raw"))
        able = machine.do("query-dump-guest-memory-capability")["formats"]
        for form in set(FORMATS) & set(able):
            machine.do("dump-guest-memory", paging=False, protocol=f"file:{folder / form}", format=form)
        machine.do("dump-guest-memory", paging=True, protocol=f"file:{folder / 'elf-paging'}")
        machine.do("migrate", uri=f"exec:cat>{folder / 'stream'}")
        while machine.do("query-migrate").get("status") != "completed":
            assert machine.process.poll() is None
    with_vmcoreinfo(folder / "elf", (folder / "raw").read_bytes(), folder / "vmcore")


def wait(machine: Qemu, text: str) -> None:
    """Until the guest's console has a text."""
    end = time.monotonic() + PATIENCE
    while not (machine.console.exists() and text in machine.console.read_text(errors="replace")):
        assert machine.process.poll() is None
        assert time.monotonic() < end, "the guest never came up"
        time.sleep(0.2)


def with_vmcoreinfo(source: Path, memory: bytes, target: Path) -> None:
    """A core with the kernel's note VMCOREINFO among its notes, as QEMU writes it with its device vmcoreinfo.

    The note is found where the kernel keeps it, in its memory. The segments' headers stand right behind the file's,
    where makedumpfile looks for them: QEMU 7.2 puts sections between.
    """
    at = memory.index(NAME + b"OSRELEASE=") - 12
    length = struct.unpack_from("<I", memory, at + 4)[0]
    note = memory[at : at + 12 + len(NAME) + -(-length // 4) * 4]
    data = source.read_bytes()
    rows, count = struct.unpack_from("<Q", data, 32)[0], struct.unpack_from("<H", data, 56)[0]
    before = 64 + 56 * count
    table = bytearray(data[rows : rows + 56 * count])
    for row in range(0, len(table), 56):
        offset, size = struct.unpack_from("<Q", table, row + 8)[0], struct.unpack_from("<Q", table, row + 32)[0]
        struct.pack_into("<Q", table, row + 8, before + offset)
        if struct.unpack_from("<I", table, row)[0] == 4:
            note = data[offset : offset + size] + note
            struct.pack_into("<Q", table, row + 8, before + len(data))
            struct.pack_into("<QQ", table, row + 32, len(note), len(note))
    head = bytearray(data[:64])
    struct.pack_into("<QQIHHHHHH", head, 32, 64, 0, 0, 64, 56, count, 0, 0, 0)
    target.write_bytes(bytes(head) + bytes(table) + data + note)


def filtered(folder: Path) -> Iterator[tuple[str, list[Path]]]:
    """What makedumpfile makes of the core: its kind, and its files. A kind that it was built without is left out."""
    source = str(folder / "vmcore")
    about = subprocess.run(["makedumpfile", "-v"], capture_output=True, text=True).stdout
    for number, (kind, options) in enumerate(FILTERS.items()):
        path = folder / f"filtered{number}"
        if not re.search(rf"{kind.split(', ')[-1]}\s+disabled", about) and makedumpfile(*options, source, str(path)):
            yield kind, [path]
    for kind, options in (("flattened, kdump", ("-c",)), ("flattened, ELF", ("-E",))):
        path = folder / kind.replace(", ", "-")
        with path.open("wb") as file:
            subprocess.run(["makedumpfile", "-F", *options, source], stdout=file, stderr=subprocess.PIPE, check=True)
        yield kind, [path]
    parts = [folder / f"part{number}" for number in range(3)]
    if makedumpfile("-c", "--split", source, *map(str, parts)):
        yield "kdump, split in three", parts
    for kind, option in (("kdump, disk full", "-c"), ("ELF, disk full", "-E")):
        path = folder / kind.replace(", ", "-").replace(" ", "-")
        makedumpfile(option, "-L", str(3 << 20 if option == "-c" else 60 << 20), source, str(path))
        if path.exists():
            yield kind, [path]


def makedumpfile(*arguments: str) -> bool:
    """Whether it made what was asked for."""
    return subprocess.run(["makedumpfile", *arguments], capture_output=True).returncode == 0
