"""What pages and contents are called: a:0 for a process's page, and a letter for each content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from vmdedup.host.layout import COUNT_MASK, NODE_SHIFT
from vmdedup.host.memory import Host
from vmdedup.ksm.layout import KsmArrays

ZEROS = "0"  # what an empty page is called


class Names:
    """Names of one host's pages and contents; what is named once keeps its name."""

    def __init__(self, host: Host, records: KsmArrays) -> None:
        self._h, self._k = host.arrays, records
        self._zero = hashlib.sha256(bytes(host.page_size)).digest()
        self._letters: dict[bytes, str] = {self._zero: ZEROS}
        self.meanings: dict[str, str] = {ZEROS: "zeros"}
        self.why = ""  # what is being done, for contents that appear meanwhile

    def page(self, entry: int) -> str:
        """A page by its page table entry, as name:page. What has ended keeps its name until its place is another's."""
        first, pages = self._h.mms["first"], self._h.mms["pages"]
        owners = np.flatnonzero((first <= entry) & (entry < first + pages) & (pages > 0))
        if len(owners) == 0:
            return "?"
        mm = self._h.mms[int(owners[-1])]
        return f"{mm['name'].decode(errors='replace')}:{entry - int(mm['first'])}"

    def content(self, pfn: int) -> str:
        """The letter of what a frame holds."""
        digest = hashlib.sha256(self._h.words[pfn].tobytes()).digest()
        if digest not in self._letters:
            letter = self._letters[digest] = letters(len(self._letters) - 1)
            self.meanings[letter] = self.why
        return self._letters[digest]

    def mean(self, meant: Mapping[bytes, str]) -> None:
        """Say what contents are, by their bytes, of those that have no name yet."""
        for data, meaning in meant.items():
            digest = hashlib.sha256(data).digest()
            if digest not in self._letters:
                self._letters[digest] = letters(len(self._letters) - 1)
                self.meanings[self._letters[digest]] = meaning

    def node(self, node: int) -> str:
        """A stable node by its content, or, where its frame has been freed, by what it no longer has."""
        return self.content(self.frame_of(node)) if self.is_live(node) else "a page that is gone"

    def frame_of(self, node: int) -> int:
        """A stable node's frame."""
        return int(self._k.nodes[node]["kpfn"])

    def is_live(self, node: int) -> bool:
        """Whether a stable node's frame is there still."""
        word: Any = int(self._h.frames[self.frame_of(node)])
        return bool(word & COUNT_MASK) and word >> NODE_SHIFT == node

    def sharers(self, node: int) -> list[str]:
        """The pages that a stable node counts, newest first."""
        return [self.page(entry) for entry in self.entries_of(node)]

    def entries_of(self, node: int) -> list[int]:
        """Their page table entries."""
        entries, entry = [], int(self._k.nodes[node]["hlist"])
        while entry:
            entries.append(entry)
            entry = int(self._k.items[entry]["left"])
        return entries


def letters(number: int) -> str:
    """A to Z, then AA, AB, ...: the name of the content that appeared as that many others had."""
    name = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        name = chr(ord("A") + rest) + name
    return name
