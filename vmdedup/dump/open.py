"""Opening a dump, whatever its format, which its first bytes tell. File names mean nothing.

Which formats there are, and who opens them, is in formats.txt alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import cast, get_args

from vmdedup.dump import firecracker, raw
from vmdedup.dump.base import Dump
from vmdedup.dump.domain import process_of
from vmdedup.dump.file import DumpFile
from vmdedup.dump.formats import Reader, folder_names, folders
from vmdedup.dump.mappings import Only
from vmdedup.dump.process import ProcessDump
from vmdedup.dump.processes import open_processes
from vmdedup.dump.recognising import check_raw, recognised, refusal
from vmdedup.errors import DumpError
from vmdedup.units import PAGE_SIZE

LIVE = ("pid:", "domain:")
OVERRIDE = "(if it is raw memory all the same, name it raw:{})"


def open_dump(path: str | Path) -> Dump:
    """A dump opened. path: a file; a directory that holds a dump in several files; or one of

    - pid:N, pid:N:all, pid:N:largest: a live process: its mergeable mappings, all, or the largest
    - pid:N:tree: all memory of a process and of its descendants; pid:N,pid:M:all,…: several processes as one
    - domain:NAME, domain:NAME:all, …: the QEMU of a running libvirt domain; if it says no more, its largest mapping
    - BASE+DIFF+DIFF: a Firecracker snapshot and the diffs made after it
    - diff:FILE: a diff snapshot alone
    - raw:FILE: a raw dump, whatever its first bytes look like
    - NAME=pid:…, NAME=domain:…: the same under a name

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
    given, equals, live = name.partition("=")
    if equals and live.startswith(LIVE) and not os.path.exists(name):
        dump = open_named(live)
        dump.name = given or live
        return dump
    scheme, colon, rest = name.partition(":")
    if colon and not os.path.exists(name):
        if scheme == "pid":
            return open_processes(name)
        if scheme == "domain":
            return open_domain(rest)
        if scheme == "diff":
            return closing(open_diff, DumpFile(rest, name))
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


def open_domain(rest: str) -> Dump:
    """A running guest of libvirt's: its domain, perhaps a colon and which mappings of its QEMU."""
    domain, _, only = rest.rpartition(":")
    if not domain or only not in get_args(Only):
        domain, only = rest, "largest"
    pid = process_of(domain)
    if pid is None:
        raise DumpError(f"domain:{domain}: no such guest is running on this machine; see virsh list")
    dump = ProcessDump(pid, cast(Only, only))
    dump.name = f"domain:{rest}"
    return dump


def open_chain(name: str) -> Dump:
    """A Firecracker snapshot and its diffs, with plus signs between."""
    files: list[DumpFile] = []
    try:
        files.extend(DumpFile(part) for part in name.split("+"))  # one by one, so that those opened can be closed
        for file in files:
            check_raw(file)
        return firecracker.open_chain(name, files)
    except BaseException:
        for file in files:
            file.close()
        raise


def open_directory(path: Path, name: str) -> Dump:
    """The dump that a directory holds."""
    reader = folder_reader(path)
    if reader is None:
        raise DumpError(f"{name}: is a directory without images of {folder_names()}; name a dump's file")
    return cast(Dump, reader.load("open_directory")(path, name))


def folder_reader(path: Path) -> Reader | None:
    """What reads a directory that holds one dump in several files; None: it holds none."""
    return next((reader for reader in folders() if reader.load("is_directory")(path)), None)


def open_descriptor(descriptor: int, name: str) -> Dump:
    """The dump in a regular file that is open, and that is closed with it. name: as errors call it."""
    return closing(open_file, DumpFile.of_descriptor(descriptor, name))


def open_file(file: DumpFile) -> Dump:
    """The dump that a file holds. DumpError: it is of a kind that is no memory dump, or that is not read."""
    kind = recognised(file)
    if kind is None:
        return raw.open_raw(file)
    if kind.reader:
        return cast(Dump, kind.reader.load()(file))
    override = "" if file.size % PAGE_SIZE else f" {OVERRIDE.format(file.name)}"
    raise DumpError(refusal(file, kind) + override)


def open_diff(file: DumpFile) -> Dump:
    """A diff snapshot alone."""
    check_raw(file)
    return firecracker.open_diff(file)


def refuse_export(file: DumpFile) -> Dump:
    """Fingerprints are no memory."""
    raise DumpError(f"{file.name}: is a Parquet table; what --hashes-only wrote can be scanned, but has no contents")
