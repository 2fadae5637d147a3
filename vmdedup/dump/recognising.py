"""What an opened file is by the table of formats, and why it is not read as what it was named as."""

from __future__ import annotations

from vmdedup.dump.file import Source
from vmdedup.dump.formats import Format, recognise
from vmdedup.errors import DumpError


def recognised(file: Source) -> Format | None:
    """What a file is, by the table of formats; None: raw memory, for all that is known."""

    def look(offset: int, length: int) -> bytes:
        return file.read(offset, min(length, file.size - offset)) if offset < file.size else b""

    return recognise(look, file.size)


def refusal(file: Source, kind: Format) -> str:
    """Why a file of this kind is not read, and what to do."""
    return f"{file.name}: is {kind.what}; {kind.remedy}"


def check_raw(file: Source) -> None:
    """DumpError if a file that should be raw memory begins as something else does."""
    kind = recognised(file)
    if kind is not None:
        raise DumpError(refusal(file, kind) if kind.remedy else f"{file.name}: is {kind.what} and no raw memory")
