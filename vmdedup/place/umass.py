"""UMass's memory traces: text about a machine and its processes, then a 32-bit hash of each page, in some then more.

    operating system, processes, one a line │ hash │ hash │ … │ a Bloom filter, in some files

Where the text ends is not said: at the last newline before the first byte that no text has. Where it says how many
pages or hashes there are, so many are taken and what follows (the Bloom filter) is passed by; else all to the end are.
Hashes are little-endian. Of a million contents some 120 pairs have the same 32 bits by chance.
Source: traces/cpumem/memtraces/readme.txt of the UMass trace repository (2009).
"""

from __future__ import annotations

import re
from os import path as paths
from typing import Final

import numpy as np

from vmdedup.errors import DumpError
from vmdedup.inputs import read_input
from vmdedup.place.contents import distinct
from vmdedup.place.fleet import Guest

TEXT: Final = "UMass memory trace"
_HEAD: Final = 1 << 20  # bytes in which the text ends
_MOST: Final = 1 << 34  # bytes of a file
_NO_TEXT: Final = re.compile(rb"[^\t\n\r\x20-\x7e]")
_COUNT: Final = re.compile(rb"(?im)^\W*(?:num(?:ber)?[ _]?(?:of)?[ _]?)?(?:pages|hashes)\W+(\d{1,15})\s*$")
_SUFFIXES: Final = (".dat", ".trace")


def is_trace(file: str) -> bool:
    """Whether a file is called as they are, and begins with lines of text."""
    if not file.endswith(_SUFFIXES) or not paths.isfile(file):
        return False
    with open(file, "rb") as opened:
        return _text_end(opened.read(_HEAD)) > 0


def read_trace(file: str, times: int) -> Guest:
    """The machine that was traced. DumpError: the trace is cut short, or holds nothing."""
    content = read_input(file, _MOST, DumpError)
    end = _text_end(content[:_HEAD])
    said = _COUNT.search(content, 0, end)
    there = (len(content) - end) // 4
    pages = int(said[1]) if said else there
    if pages > there or (not said and (len(content) - end) % 4):
        wanted = f"{pages} pages" if said else "whole hashes of 4 bytes"
        raise DumpError(f"{file}: is cut short: {wanted} are said to be there, {there} are; fetch it again")
    if not pages:
        raise DumpError(f"{file}: is cut short: no hashes follow its text; fetch it again")
    hashes = np.frombuffer(content, "<u4", pages, end).astype(np.uint64)
    return Guest(paths.basename(file), pages, distinct(hashes, times), "", times)


def _text_end(head: bytes) -> int:
    """Where the text ends; 0: it begins with none."""
    odd = _NO_TEXT.search(head)
    return head.rfind(b"\n", 0, odd.start() if odd else len(head)) + 1
