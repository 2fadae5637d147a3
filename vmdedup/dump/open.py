"""Opening a dump, whatever its format, which its first bytes tell. File names mean nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import cast

from vmdedup.dump import (
    cloud_hypervisor,
    criu,
    elf,
    firecracker,
    flattened,
    kdump,
    libvirt_save,
    lime,
    qemu,
    qemu_stream,
    raw,
)
from vmdedup.dump.base import Dump
from vmdedup.dump.file import DumpFile
from vmdedup.dump.process import Only, ProcessDump
from vmdedup.errors import DumpError

HEAD = 4096
UNREADABLE = (
    (b"\x1f\x8b", "is compressed; unpack it first: gunzip -k FILE"),
    (b"\x28\xb5\x2f\xfd", "is compressed; unpack it first: zstd -d FILE"),
    (b"\xfd7zXZ\0", "is compressed; unpack it first: unxz -k FILE"),
    (b"BZh", "is compressed; unpack it first: bunzip2 -k FILE"),
    (b"\x04\x22\x4d\x18", "is compressed; unpack it first: lz4 -d FILE"),
    (b"QFI\xfb", "is a qcow2 disk; dump memory with: virsh dump --memory-only, or virsh save"),
    (b"PAGEDU", "is a Windows crash dump; dump as ELF instead: virsh dump --memory-only --format elf"),
    (b"DISKDUMP", "is a diskdump of an old kernel; convert it with makedumpfile"),
    (b"\xd0\xbe\xd2\xbe", "is a VMware suspend state; name the .vmem file beside it"),
    (b"\xd2\xbe\xd2\xbe", "is a VMware suspend state; name the .vmem file beside it"),
    (b"\xd1\xba\xd1\xba", "is a VMware suspend state; name the .vmem file beside it"),
    *((magic, "is the state of a Firecracker snapshot; name its memory file") for magic in firecracker.STATE_MAGICS),
)


def open_dump(path: str | Path) -> Dump:
    """A dump opened. path: a file; a directory (CRIU, Firecracker, Cloud Hypervisor); or one of

    - pid:N, pid:N:all, pid:N:largest: a live process: its mergeable mappings, all, or the largest
    - BASE+DIFF+DIFF: a Firecracker snapshot and the diffs made after it
    - diff:FILE: a diff snapshot alone
    - raw:FILE: a raw dump, whatever its first bytes look like

    DumpError: no such file, of no known format, damaged. EnvironmentLacksError: a process that must not be read.
    """
    name = str(path)
    try:
        return open_named(name)
    except MemoryError as error:
        raise DumpError(
            f"{name}: needs more memory to be read than there is; its tables are damaged, or huge"
        ) from error


def open_named(name: str) -> Dump:
    """The dump of a name as the user wrote it."""
    path = Path(name)
    scheme, colon, rest = name.partition(":")
    if colon and not os.path.exists(name):
        if scheme == "pid":
            return open_process(rest)
        if scheme == "diff":
            return closing(firecracker.open_diff, DumpFile(rest, name))
        if scheme == "raw":
            return closing(raw.open_raw, DumpFile(rest, name))
    if "+" in name and not os.path.exists(name):
        return open_chain(name)
    if os.path.isdir(name):
        return open_directory(path, name)
    return closing(open_file, DumpFile(path))


def closing(reader: Callable[[DumpFile], Dump], file: DumpFile) -> Dump:
    """What a reader makes of a file, which is closed if it makes nothing."""
    try:
        return reader(file)
    except BaseException:
        file.close()
        raise


def open_process(rest: str) -> Dump:
    """A process: its number, perhaps a colon and which mappings."""
    number, _, only = rest.partition(":")
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise DumpError(f"pid:{rest}: name a process by its number: pid:1234")
    return ProcessDump(int(number), cast(Only, only or "mergeable"))


def open_chain(name: str) -> Dump:
    """A Firecracker snapshot and its diffs, with plus signs between."""
    files: list[DumpFile] = []
    try:
        files.extend(DumpFile(part) for part in name.split("+"))  # one by one, so that those opened can be closed
        return firecracker.open_chain(name, files)
    except BaseException:
        for file in files:
            file.close()
        raise


def open_directory(path: Path, name: str) -> Dump:
    """The dump that a directory holds."""
    if criu.is_directory(path):
        return criu.open_criu(path, name)
    if cloud_hypervisor.is_directory(path):
        return cloud_hypervisor.open_snapshot(path, name)
    memory = firecracker.memory_file(path)
    if memory is not None:
        return closing(raw.open_raw, DumpFile(memory, name))
    raise DumpError(
        f"{name}: is a directory without images of CRIU, Firecracker or Cloud Hypervisor; name a dump's file"
    )


def open_file(file: DumpFile) -> Dump:
    """The dump that a file holds."""
    head = file.read(0, min(HEAD, file.size))
    if head.startswith(elf.MAGIC):
        return elf.open_elf(file)
    if head.startswith((lime.LIME_MAGIC, lime.AVML_MAGIC)):
        return lime.open_lime(file)
    if head.startswith(kdump.MAGIC):
        return kdump.KdumpDump(file)
    if head.startswith(flattened.MAGIC):
        return open_flattened(file)
    if head.startswith(qemu_stream.MAGIC):
        return qemu.QemuDump(file)
    if head.startswith((libvirt_save.MAGIC, libvirt_save.PARTIAL)):
        return libvirt_save.open_save(file)
    if head.startswith(criu.HEADS):
        file.close()
        return criu.open_criu(Path(file.name), file.name)
    for magic, what in UNREADABLE:
        if head.startswith(magic):
            raise DumpError(f"{file.name}: {what} (if it is raw memory all the same, name it raw:{file.name})")
    return raw.open_raw(file)


def open_flattened(file: DumpFile) -> Dump:
    """The dump that a flattened file stands for."""
    whole = flattened.FlattenedFile(file)
    head = whole.read(0, min(HEAD, whole.size))
    if head.startswith(kdump.MAGIC):
        return kdump.KdumpDump(whole)
    if head.startswith(elf.MAGIC):
        return elf.open_elf(whole)
    raise DumpError(f"{file.name}: is a flattened file of no dump; make it anew with makedumpfile -F")
