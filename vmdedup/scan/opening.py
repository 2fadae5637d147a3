"""Opening what is to be scanned: raw files at once, other dumps by their readers, fingerprints made elsewhere."""

from __future__ import annotations

import os

from vmdedup.errors import DumpError, UsageError
from vmdedup.scan.plain import open_plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from vmdedup.dump.base import Dump
    from vmdedup.scan.source import Source

PARQUET = b"PAR1"


def open_sources(dumps: Sequence[str | Dump]) -> list[Source]:
    """Everything opened, in the order given. DumpError: one cannot be read, or is named twice."""
    _refuse_twins([dump for dump in dumps if isinstance(dump, str)])
    if not dumps:
        raise UsageError("nothing to scan; name at least one dump")
    opened: list[Source] = []
    try:
        for dump in dumps:
            opened += _open(dump) if isinstance(dump, str) else _wrap(dump)
        _make_distinct(opened)
    except BaseException:
        close_sources(opened)
        raise
    return opened


def close_sources(sources: Sequence[Source]) -> None:
    """Let go of them all."""
    for source in sources:
        source.close()


def _open(name: str) -> Sequence[Source]:
    plain = open_plain(name)
    if plain is not None:
        return [plain]
    if _begins_with(name, PARQUET):
        from vmdedup.scan.export import open_export

        return open_export(name)
    from vmdedup.dump.open import open_dump

    return _wrap(open_dump(name))


def _wrap(dump: Dump) -> Sequence[Source]:
    from vmdedup.scan.dumps import DumpSource

    return [DumpSource(dump)]


def _begins_with(name: str, magic: bytes) -> bool:
    try:
        with open(name, "rb") as file:
            return file.read(len(magic)) == magic
    except (OSError, ValueError):
        return False


def _refuse_twins(names: Sequence[str]) -> None:
    """DumpError if two names lead to the same file."""
    seen: dict[object, str] = {}
    for name in names:
        try:
            status = os.stat(name)
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
