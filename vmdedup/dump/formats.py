"""What a file is, by its first bytes: a dump and its reader, something that is no memory, or neither of what is known.

The table is formats.txt beside this file: openers, lists of formats for people, and refusals are all made of it. `scan`
asks it of every file that it reads, so this module imports nothing else, and checks and readers are loaded only once
they are needed.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    Look = Callable[[int, int], bytes]

HEAD = 4096
LONGEST = 16  # bytes of a magic
TABLE = os.path.join(os.path.dirname(__file__), "formats.txt")
BETWEEN = "\\u0100"  # between magics: what no byte is
PRINTED = bytes((*range(0x20, 0x7F), *range(0x80, 0x100), *b"\t\n\r\f\b\x1b"))


class Reader:
    """A format of dumps. opener: MODULE:FUNCTION of this package. names: as people call it; "": not in lists."""

    def __init__(self, line: str) -> None:
        """line: FORMAT OPENER [NAMES]."""
        self.format, self.opener, *names = line.split(" ", 2)
        self.names = "".join(names)

    def load(self, function: str = "") -> Callable[..., Any]:
        """Its opener; of a folder's, which is a module, a function."""
        from vmdedup.late import load

        module, _, own = self.opener.partition(":")
        found: Callable[..., Any] = load(f"vmdedup.dump.{module}:{function or own}")
        return found


class Format:
    """A kind of file. what: "a tar archive". reader: None if it is no dump, or none that is read; remedy: what to do.

    offset: where the magic stands, from the end if negative. check: what is looked at besides, "" if nothing is.
    """

    __slots__ = ("check", "magic", "offset", "reader", "remedy", "what")

    def __init__(self, offset: int, magic: bytes, what: str, check: str, reader: Reader | None, remedy: str) -> None:
        self.offset, self.magic, self.what, self.check = offset, magic, what, check
        self.reader, self.remedy = reader, remedy

    def fits(self, head: bytes, look: Look, size: int) -> bool:
        """Whether a file is of this kind."""
        return self._has_magic(head, look, size) and (not self.check or self._passes(head, look, size))

    def _has_magic(self, head: bytes, look: Look, size: int) -> bool:
        if 0 <= self.offset <= HEAD - len(self.magic):
            return head.startswith(self.magic, self.offset)
        at = self.offset if self.offset >= 0 else size + self.offset
        return 0 <= at <= size - len(self.magic) and look(at, len(self.magic)) == self.magic

    def _passes(self, head: bytes, look: Look, size: int) -> bool:
        if not self.magic and not _CHEAP[self.check](head):
            return False
        from vmdedup.dump import checks, content_checks

        check = getattr(checks, self.check, None) or getattr(content_checks, self.check)
        return bool(check(look, size))


# Of what has no magic: what is asked before its check is loaded.
_CHEAP: dict[str, Callable[[bytes], bool]] = {
    "text": lambda head: not head[:64].translate(None, PRINTED),
    "old_tar": lambda head: head[148:154].strip(b" \0").isdigit(),
}


def recognise(look: Look, size: int) -> Format | None:
    """What a file is; None: nothing that is known, so it may be raw memory.

    look(offset, length): the file's bytes there, fewer at its end. size: of the file, in bytes.
    """
    return table.recognise(look, size)


def kinds() -> Iterator[Format]:
    """All lines of the table, one for each offset."""
    return table.all_kinds()


def folders() -> list[Reader]:
    """Formats whose dumps are folders."""
    return table.folders


def file_names() -> str:
    """The formats of files that can be read, as people call them: "raw, ELF core, …"."""
    return ", ".join(["raw", *(reader.names for reader in table.readers if reader.names)])


def folder_names() -> str:
    """Those of folders: "CRIU, Cloud Hypervisor or Firecracker"."""
    *names, last = (reader.names for reader in table.folders)
    return f"{', '.join(names)} or {last}"


def _there(magics: tuple[bytes, ...], offset: int, head: bytes, look: Look) -> bool:
    if offset < HEAD - LONGEST:
        return head.startswith(magics, offset)
    return look(offset, LONGEST).startswith(magics)


def _other(magics: tuple[bytes, ...], offset: int) -> Format:
    return Format(
        offset, magics[0], "of a kind that file(1) knows", "", None, "see which: file FILE; name a dump of memory"
    )


def _unescaped(magics: list[str]) -> list[bytes]:
    """All at once, as one by one would take long."""
    found = BETWEEN.join(magics).encode().decode("unicode_escape").split(chr(0x100))
    return [b"" if magic == "-" else magic.encode("latin-1") for magic in found]


def _named(lines: list[str], readers: dict[str, Reader]) -> Iterator[Format]:
    rows = [line.split(" ", 2) if line[0] not in "<>" else line for line in lines]
    magics = iter(_unescaped([row[1] for row in rows if isinstance(row, list)]))
    reader, remedy = None, ""
    for row in rows:
        if isinstance(row, str):
            reader, remedy = (readers[row], "") if row[0] == "<" else (None, row[2:])
            continue
        magic, what, check = next(magics), row[2], ""
        if what[0] == "?":
            check, _, what = what[1:].partition(" ")
        for offset in row[0].split(","):
            yield Format(int(offset), magic, what, check, reader, remedy)


def _others(lines: list[str]) -> Iterator[tuple[int, tuple[bytes, ...]]]:
    for line in lines:
        offset, *magics = line.split(" ")
        yield int(offset), tuple(_unescaped(magics))


class Table:
    """A table of formats, read. text: as formats.txt has it."""

    def __init__(self, text: str) -> None:
        named, _, others = text.partition("\n= ")
        lines = [line for line in named.split("\n") if line and line[0] != "#"]
        readers = {line: Reader(line[2:]) for line in lines if line[0] in "</"}
        self.readers = [reader for line, reader in readers.items() if line[0] == "<"]
        self.folders = [reader for line, reader in readers.items() if line[0] == "/"]
        self.kinds = tuple(_named([line for line in lines if line[0] != "/"], readers))
        self.others = tuple(_others(others.split("\n")[1:-1]))
        self.first = tuple(kind.magic for kind in self.kinds if kind.offset == 0 and kind.magic)
        self.deeper = tuple(kind for kind in self.kinds if kind.offset != 0 or not kind.magic)

    def recognise(self, look: Look, size: int) -> Format | None:
        """See recognise."""
        head = look(0, HEAD)
        kinds = self.kinds if head.startswith(self.first) else self.deeper
        found = next((kind for kind in kinds if kind.fits(head, look, size)), None)
        return found or next(
            (_other(magics, offset) for offset, magics in self.others if _there(magics, offset, head, look)), None
        )

    def all_kinds(self) -> Iterator[Format]:
        """All its lines, one for each offset."""
        yield from self.kinds
        for offset, magics in self.others:
            yield from (_other((magic,), offset) for magic in magics)


def read_table() -> Table:
    """The table as it stands in its file."""
    with open(TABLE, encoding="ascii") as file:
        return Table(file.read())


table = read_table()
