"""Opening a dump, whatever its format, which its first bytes tell. File names mean nothing."""

from __future__ import annotations

from pathlib import Path

from vmdedup.dump import elf, flattened, kdump, libvirt_save, lime, qemu, qemu_stream, raw
from vmdedup.dump.base import Dump
from vmdedup.dump.file import DumpFile
from vmdedup.errors import DumpError

HEAD = 4096


def open_dump(path: str | Path) -> Dump:
    """A dump opened. DumpError: it is of no known format, or is damaged."""
    file = DumpFile(path)
    try:
        return open_file(file)
    except BaseException:
        file.close()
        raise


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
