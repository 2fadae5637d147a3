"""Other people's readers of the same dumps, behind one function each: the pages that they find, by number.

Each reader's function raises NotInstalledError with how to get it, and RefusedError with what it says of a file.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, files, version
from pathlib import Path

PAGE = 4096
DEBIANS = {"libkdumpfile10": "libkdumpfile", "libkdumpfile12": "libkdumpfile", "criu": "crit"}
DEBIANS |= {"makedumpfile": "makedumpfile", "qemu-system-x86": "QEMU"}
Pages = dict[int, bytes]


class NotInstalledError(Exception):
    """A reader that is not here; the message says how to get it."""


class RefusedError(Exception):
    """What a reader says of a file that it does not read."""


# libkdumpfile's addresses: kdump_addrspace_t. Sources: its kdumpfile.h, of the version whose library is named .so.10.
GUEST_PHYSICAL, MACHINE_PHYSICAL = 0, 1
OK, NO_DATA = 0, 3
PRESENT = 4  # a flag of CRIU's
MOST_BYTES = 1 << 25  # of a map of pages


class Value(ctypes.Structure):
    """kdump_attr_t of a number or an object."""

    _fields_ = (("type", ctypes.c_int), ("value", ctypes.c_uint64))


def debians() -> str:
    """Where Debian's libkdumpfile is."""
    folders = (Path("/usr/lib") / f"{os.uname().machine}-linux-gnu", Path("/usr/lib64"), Path("/usr/lib"))
    found = [path for folder in folders for path in sorted(folder.glob("libkdumpfile.so.1?"))]
    if not found:
        raise NotInstalledError("needs libkdumpfile; install Debian's libkdumpfile10")
    return str(found[0])


def drgns() -> str:
    """Where the libkdumpfile is that drgn's wheels bring, which is newer."""
    try:
        found = [file for file in files("drgn") or [] if file.name.startswith("libkdumpfile")]
    except PackageNotFoundError:
        found = []
    if not found:
        raise NotInstalledError("needs drgn; pip install drgn")
    return str(found[0].locate())


@cache
def kdump_library(which: Callable[[], str]) -> ctypes.CDLL:
    """libkdumpfile's shared library."""
    library = ctypes.CDLL(which())
    library.kdump_new.restype = ctypes.c_void_p
    library.kdump_get_err.restype = ctypes.c_char_p
    return library


class Kdump:
    """A dump, or the parts of a split one, opened by libkdumpfile."""

    def __init__(self, which: Callable[[], str], paths: Iterable[Path]) -> None:
        self.kdumpfile = kdump_library(which)
        self.files = [path.open("rb") for path in paths]
        self.context = ctypes.c_void_p(self.kdumpfile.kdump_new())
        fds = (ctypes.c_int * len(self.files))(*(file.fileno() for file in self.files))
        self._check(self.kdumpfile.kdump_open_fdset(self.context, len(self.files), fds))

    def _check(self, status: int) -> None:
        """RefusedError, if that is what a call gave."""
        if status != OK:
            raise RefusedError(self.kdumpfile.kdump_get_err(self.context).decode())

    def _attribute(self, key: bytes) -> int:
        """A number or an object."""
        found = Value()
        self._check(self.kdumpfile.kdump_get_attr(self.context, key, ctypes.byref(found)))
        return int(found.value)

    def numbers(self) -> list[int]:
        """The pages of 4096 bytes that it says are in the file."""
        most, ratio = self._attribute(b"max_pfn"), self._attribute(b"arch.page_size") // PAGE
        bits = ctypes.create_string_buffer(min(most // 8 + 1, MOST_BYTES))
        bitmap = ctypes.c_void_p(self._attribute(b"file.pagemap"))
        last = ctypes.c_uint64(max(most - 1, 0))
        self._check(self.kdumpfile.kdump_bmp_get_bits(bitmap, ctypes.c_uint64(0), last, bits))
        raw = bits.raw
        large = [number for number in range(most) if raw[number // 8] >> number % 8 & 1]
        return [number * ratio + part for number in large for part in range(ratio)]

    def read(self, numbers: Iterable[int], space: int) -> Iterator[tuple[int, bytes]]:
        """Those of these pages that it can read."""
        buffer = ctypes.create_string_buffer(PAGE)
        for number in numbers:
            length, place = ctypes.c_size_t(PAGE), ctypes.c_uint64(number * PAGE)
            status = self.kdumpfile.kdump_read(self.context, space, place, buffer, ctypes.byref(length))
            if status == OK:
                yield number, buffer.raw
            # Of a page that was never written it says that it has the wrong size, which it has.
            elif status != NO_DATA and self.kdumpfile.kdump_get_err(self.context) != b"Wrong page size: 0":
                self._check(status)

    def close(self) -> None:
        """Let go of the dump."""
        self.kdumpfile.kdump_free(self.context)
        for file in self.files:
            file.close()


def kdump_pages(which: Callable[[], str], *paths: Path) -> Pages:
    """What libkdumpfile finds."""
    with closing(Kdump(which, paths)) as dump:
        return dict(dump.read(dump.numbers(), MACHINE_PHYSICAL))


def kdump_guest_pages(which: Callable[[], str], path: Path, numbers: Iterable[int] = range(1 << 12)) -> Pages:
    """What libkdumpfile has of these pages by the guest's numbers; of Xen's dumps it keeps no map of pages."""
    with closing(Kdump(which, [path])) as dump:
        return dict(dump.read(numbers, GUEST_PHYSICAL))


def drgn_pages(path: Path, numbers: Iterable[int]) -> Pages:
    """Those of these pages that drgn can read by physical address, of a Linux guest's dump."""
    try:
        import drgn
    except ImportError:
        raise NotInstalledError("needs drgn; pip install drgn") from None
    program = drgn.Program()
    try:
        program.set_core_dump(path)
    except Exception as error:
        raise RefusedError(str(error)) from None
    found: Pages = {}
    for number in numbers:
        with suppress(drgn.FaultError):
            found[number] = program.read(number * PAGE, PAGE, physical=True)
    return found


def crit_pages(folder: Path) -> Pages:
    """The pages of CRIU's images of one process, by the entries that crit decodes."""
    if shutil.which("crit") is None:
        raise NotInstalledError("needs crit; install Debian's criu")
    pagemap = next(folder.glob("pagemap-*.img"))
    said = subprocess.run(["crit", "decode", "-i", str(pagemap)], capture_output=True, text=True)
    if said.returncode:
        raise RefusedError(said.stderr.strip().splitlines()[-1])
    head, *entries = json.loads(said.stdout)["entries"]
    data = (folder / f"pages-{head['pages_id']}.img").read_bytes()
    found: Pages = {}
    at = 0
    for entry in entries:
        first = int(str(entry["vaddr"]), 0) // PAGE
        if not int(entry.get("flags", PRESENT)) & PRESENT:
            continue
        for number in range(first, first + int(entry["nr_pages"])):
            found[number] = data[at : at + PAGE]
            at += PAGE
    return found


def volatility_pages(path: Path, module: str, layer: str) -> Pages:
    """The whole pages that one of volatility3's layers has."""
    try:
        contexts = import_module("volatility3.framework.contexts")
        physical = import_module("volatility3.framework.layers.physical")
        kind = getattr(import_module(f"volatility3.framework.layers.{module}"), layer)
    except ImportError:
        raise NotInstalledError("needs volatility3; pip install volatility3") from None
    context = contexts.Context()
    context.config["file.location"] = path.as_uri()
    context.layers.add_layer(physical.FileLayer(context, "file", "file"))
    context.config["dump.base_layer"] = "file"
    try:
        dump = kind(context, "dump", "dump")
        found: Pages = {}
        for start, _, size, *_ in dump._segments:
            for number in range(start // PAGE, -(-(start + size) // PAGE)):
                if number not in found and dump.is_valid(number * PAGE, PAGE):
                    found[number] = dump.read(number * PAGE, PAGE)
    except Exception as error:
        raise RefusedError(f"{type(error).__name__}: {error}") from None
    return found


def versions() -> dict[str, str]:
    """What is installed of the readers, by name."""
    found = {}
    for package, name in DEBIANS.items():
        asked = ["dpkg-query", "-W", "-f", "${Version}", package]
        if (
            shutil.which("dpkg-query")
            and (said := subprocess.run(asked, capture_output=True, text=True)).returncode == 0
        ):
            found[name] = said.stdout
    for package in ("drgn", "volatility3"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found
