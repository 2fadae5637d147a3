"""Files of `virsh save` and `virsh managedsave`: a header, the domain's XML, and a migration stream, compressed or not.

A compressed stream is unpacked into a temporary file without a name, of no more bytes than the domain's memory can
take. Source: libvirt's src/qemu/qemu_saveimage.h.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
from collections.abc import Callable, Iterator

from vmdedup.dump.codecs import bzip2_stream, gzip_stream, xz_stream, zstd_stream
from vmdedup.dump.file import DumpFile, Source
from vmdedup.dump.qemu import QemuDump
from vmdedup.errors import DumpError
from vmdedup.ours.file import nameless, temporary_root

MAGIC, PARTIAL = b"LibvirtQemudSave", b"LibvirtQemudPart"
HEADER = "16s5I56x"  # in the byte order of the host that wrote it
VERSIONS = (1, 2)
RAW, LZOP, SPARSE = 0, 4, 6
STREAMS: dict[int, Callable[[Source, int], Iterator[bytes]]] = {
    1: gzip_stream,
    2: bzip2_stream,
    3: xz_stream,
    5: zstd_stream,
}
MEMORY = re.compile(rb"<memory(?: [^>]*?unit='(\w+)')?[^>]*>(\d{1,15})</memory>")
UNITS = {b"b": 1, b"bytes": 1, b"KiB": 1 << 10, b"MiB": 1 << 20, b"GiB": 1 << 30, b"TiB": 1 << 40}
DEVICES = 1 << 30  # bytes that a stream may have besides the domain's memory: video memory, device state
MOST_XML = 1 << 24


def open_save(file: DumpFile) -> QemuDump:
    """A file of `virsh save`. DumpError: it is unfinished, damaged, or compressed with lzop."""
    size = struct.calcsize("<" + HEADER)
    head = file.read(0, size)
    if head.startswith(PARTIAL):
        raise DumpError(f"{file.name}: is an unfinished save of a domain; save it again")
    order = "<" if 0 < struct.unpack_from("<I", head, len(MAGIC))[0] < 1 << 16 else ">"
    _, version, length, _, compression, _ = struct.unpack(order + HEADER, head)
    if version not in VERSIONS or length > MOST_XML:
        raise DumpError(f"{file.name}: the header of the saved domain is damaged, or not known; save again")
    xml = file.read(size, length)
    start = size + length
    if compression in (RAW, SPARSE):
        return QemuDump(file, start, "libvirt-save")
    if compression not in STREAMS:
        name = "lzop" if compression == LZOP else f"method {compression}"
        raise DumpError(f'{file.name}: is compressed with {name}; save with save_image_format = "raw" in qemu.conf')
    whole = unpacked(file, STREAMS[compression](file, start), most_bytes(file.name, xml))
    file.close()
    return QemuDump(whole, 0, "libvirt-save")


def most_bytes(name: str, xml: bytes) -> int:
    """How long the stream of a domain can be. DumpError: its XML does not say."""
    found = MEMORY.search(xml)
    if found is None or (found[1] or b"KiB") not in UNITS:
        raise DumpError(f"{name}: the saved domain's XML does not give its memory: damaged; save again")
    return 2 * int(found[2]) * UNITS[found[1] or b"KiB"] + DEVICES


def unpacked(file: Source, stream: Iterator[bytes], most: int) -> DumpFile:
    """A stream in a temporary file. DumpError: it has more than `most` bytes, or the disk would be filled."""
    room = shutil.disk_usage(temporary_root()).free // 2
    done = 0
    with os.fdopen(nameless(), "r+b") as whole:
        for piece in stream:
            done += len(piece)
            if done > most:
                raise DumpError(f"{file.name}: unpacks to more than its domain's memory: damaged; save again")
            if done > room:
                raise DumpError(f"{file.name}: no room to unpack it in {temporary_root()}; set TMPDIR")
            try:
                whole.write(piece)
            except OSError as error:
                raise DumpError(f"{file.name}: cannot be unpacked in {temporary_root()}: {error.strerror}") from error
        whole.flush()
        return DumpFile.of_descriptor(os.dup(whole.fileno()), file.name)
