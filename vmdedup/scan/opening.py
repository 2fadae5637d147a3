"""Opening what is to be scanned: raw files at once, other dumps by their readers, fingerprints made elsewhere."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from vmdedup.errors import DumpError, UsageError
from vmdedup.inputs import open_input
from vmdedup.limits import need_descriptors
from vmdedup.scan.plain import open_plain, recognised
from vmdedup.scan.standard_input import NAME, is_stream, take

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vmdedup.dump.base import Dump
    from vmdedup.scan.reading import Stop
    from vmdedup.scan.source import Source

EXPORT = "export"  # the name that the table of formats has for fingerprints made elsewhere


def open_sources(dumps: Sequence[str | Dump], stop: Stop = lambda: False) -> list[Source]:
    """Everything opened, in the order given.

    stop: asked while standard input is read. DumpError: one cannot be read, or is named twice. EnvironmentLacksError:
    so many files must not be open.
    """
    if not dumps:
        raise UsageError("nothing to scan; name at least one dump")
    refuse_twins([dump for dump in dumps if isinstance(dump, str)])
    need_descriptors(len(dumps), f"{len(dumps)} dumps")
    opened: list[Source] = []
    try:
        for dump in dumps:
            opened += _open(dump, stop) if isinstance(dump, str) else _wrap(dump)
        _make_distinct(opened)
    except BaseException:
        close_sources(opened)
        raise
    return opened


def close_sources(sources: Sequence[Source]) -> None:
    """Let go of them all."""
    for source in sources:
        source.close()


def listed(name: str) -> list[str]:
    """A name, or the names of all that a folder holds, if it is not one dump in several files.

    DumpError: it is empty, or cannot be read.
    """
    if not os.path.isdir(name):
        return [name]
    from pathlib import Path

    from vmdedup.dump.open import folder_reader

    try:
        if folder_reader(Path(name)) is not None:
            return [name]
        found = sorted(os.listdir(name))
    except OSError as error:
        raise DumpError(f"{name}: cannot be read: {error.strerror}") from None
    if not found:
        raise DumpError(f"{name}: is an empty folder; name dumps, or a folder of dumps")
    return [os.path.join(name, each) for each in found]


def _open(name: str, stop: Stop) -> Sequence[Source]:
    if is_stream(name):
        descriptor = take(name, stop)
    elif os.path.exists(name) and not os.path.isdir(name):
        descriptor = open_input(name)
    else:
        from vmdedup.dump.open import open_dump

        return _wrap(open_dump(name))
    return _opened(name, descriptor)


def _opened(name: str, descriptor: int) -> Sequence[Source]:
    """What an open file holds; it is closed with that, or if it holds nothing that can be read."""
    try:
        plain = open_plain(name, descriptor)
        kind = recognised(name, descriptor, os.fstat(descriptor).st_size) if plain is None else None
    except BaseException:
        os.close(descriptor)
        raise
    if plain is not None:
        return [plain]
    if kind is not None and kind.reader is not None and kind.reader.format == EXPORT:
        from vmdedup.scan.exported import open_export

        return open_export(name, descriptor)
    from vmdedup.dump.open import open_descriptor

    return _wrap(open_descriptor(descriptor, name))


def _wrap(dump: Dump) -> Sequence[Source]:
    from vmdedup.scan.dumps import DumpSource

    return [DumpSource(dump)]


def refuse_twins(names: Sequence[str]) -> None:
    """DumpError if two names lead to the same file."""
    seen: dict[object, str] = {}
    for name in names:
        try:
            status = os.fstat(0) if name == NAME else os.stat(name)
            key: object = (status.st_dev, status.st_ino)
        except (OSError, ValueError):
            key = name
        if key in seen:
            raise DumpError(f"{name} is the same file as {seen[key]}; name each dump once")
        seen[key] = name


def _make_distinct(sources: Sequence[Source]) -> None:
    """Dumps of two exports may have the same name: then the export's is put before it."""
    names = [source.name for source in sources]
    for source in sources:
        if names.count(source.name) > 1:
            source.name = source.full_name
