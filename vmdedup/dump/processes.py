"""Several live processes as one memory: those that are named, or one and all that descend from it.

A page's number there is its process's number, shifted by PROCESS bits, and its virtual page number.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Final, cast

import numpy as np

from vmdedup.dump.base import Block, Dump, Region
from vmdedup.dump.mappings import Only
from vmdedup.dump.pagemap import Words
from vmdedup.dump.process import ProcessDump
from vmdedup.errors import DumpError

PROCESS: Final = 40  # 22 bits of a process's number stand above; addresses have 52 bits at most
TREE: Final = "tree"
Together = Callable[[str, Sequence[ProcessDump]], Dump]


def open_processes(text: str, family: Together | None = None) -> Dump:
    """pid:N, pid:N:all, pid:N:largest; pid:N:tree, all memory of it and its descendants; several, with commas between.

    family: what is made of them if they are one system, dump.family.FamilyDump.
    DumpError: none, no such process. EnvironmentLacksError: one that must not be read.
    """
    words = text.split(",")
    parsed = [_parse(word) for word in words]
    if len(parsed) == 1 and parsed[0][1] != TREE and family is None:
        return ProcessDump(parsed[0][0], cast(Only, parsed[0][1]))
    members: dict[int, ProcessDump] = {}
    try:
        for pid, which in parsed:
            if which == TREE:
                _open_tree(pid, members)
            elif pid not in members:
                members[pid] = ProcessDump(pid, cast(Only, which))
        found = list(members.values())
        return (family or ProcessesDump)(text, found)
    except BaseException:
        for member in members.values():
            member.close()
        raise


def _parse(word: str) -> tuple[int, str]:
    """The process's number, and which of its memory."""
    number, _, which = word.removeprefix("pid:").partition(":")
    if not word.startswith("pid:") or not (number.isascii() and number.isdigit() and len(number) < 10):
        raise DumpError(f"{word}: name a process by its number: pid:1234")
    return int(number), which or "mergeable"


def pids_of(text: str) -> list[int]:
    """The processes that open_processes would open now."""
    found: dict[int, None] = {}
    for pid, which in map(_parse, text.split(",")):
        found |= dict.fromkeys(descendants(pid) if which == TREE else [pid])
    return list(found)


def _open_tree(pid: int, members: dict[int, ProcessDump]) -> None:
    """A process and its descendants, but for those that end meanwhile."""
    for one in descendants(pid):
        try:
            if one not in members:
                members[one] = ProcessDump(one, "all")
        except DumpError:
            if one == pid:
                raise


def descendants(pid: int) -> list[int]:
    """A process and all that descend from it, parents first."""
    children: dict[int, list[int]] = {}
    for one in map(int, filter(str.isdigit, os.listdir("/proc"))):
        children.setdefault(parent_of(one), []).append(one)
    found = [pid]
    for one in found:  # grows meanwhile
        found += sorted(children.get(one, ()))
    return found


def parent_of(pid: int) -> int:
    """The parent of a process; 0: there is none, or it has ended."""
    try:
        with open(f"/proc/{pid}/stat", errors="replace") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        return 0


class ProcessesDump(Dump):
    """Several processes, opened; they are closed with it."""

    format = "process"
    is_live = True

    def __init__(self, name: str, members: Sequence[ProcessDump]) -> None:
        self.name, self.members = name, members
        self.regions = [
            Region(f"{member.pid} {region.name}", (member.pid << PROCESS) + region.first, region.pages)
            for member in members
            for region in member.regions
        ]
        self.reserved = sum(member.reserved for member in members)

    @property
    def pages(self) -> int:
        """Of all of them; a page that two of them map counts twice."""
        return sum(member.pages for member in self.members)

    @property
    def present(self) -> int:
        """Pages that blocks() gives."""
        return sum(member.present for member in self.members)

    def frames(self) -> Words | None:
        """As of one process."""
        found = [member.frames() for member in self.members]
        known = [frames for frames in found if frames is not None]
        return np.concatenate(known) if len(known) == len(found) else None

    def blocks(self) -> Iterator[Block]:
        """One process after the other. One that ends before all of it was read is an error."""
        before = 0
        for member in self.members:
            for block in member.blocks():
                numbers = block.numbers + (member.pid << PROCESS)
                yield replace(block, region=before + block.region, numbers=numbers)
            before += len(member.regions)

    def close(self) -> None:
        """Let go of them all."""
        with ExitStack() as stack:
            for member in self.members:
                stack.callback(member.close)
