"""Whose memory is recorded: live processes, libvirt's domains, dumps and series of dumps.

pid:123            a live process                     domain:web    a running libvirt domain
db=pid:123         the same under a name              day=a.raw,b.raw,c.raw    dumps, one a step
web=pid:123:tree   a process and its descendants, as one system; also web=pid:123:all,pid:124:all
memory.elf         one dump, for all steps
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from select import select
from typing import cast

from vmdedup.dump.base import Dump
from vmdedup.dump.domain import process_of
from vmdedup.dump.family import FamilyDump
from vmdedup.dump.open import open_dump
from vmdedup.dump.processes import TREE, open_processes, pids_of
from vmdedup.errors import UsageError
from vmdedup.recording.memory import CHOICES, Which, process_memory

_PID = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)  # Linux gives no larger ones


class Source(ABC):
    """One guest to be recorded. name: of the guest. text: what it is, in words. pid: of a live one, else None.

    steps: how many it has; None: as many as are wanted. paths: the files that it is read from.
    """

    pid: int | None = None
    steps: int | None = None
    paths: Sequence[str] = ()

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text

    def pids(self) -> Sequence[int]:
        """Of live ones, all that are read at a step."""
        return () if self.pid is None else (self.pid,)

    @abstractmethod
    def open(self, step: int) -> Dump | None:
        """Its memory at a step; None: as at the step before. DumpError: it cannot be read."""

    def is_gone(self, patience: float = 0.0) -> bool:
        """Whether there is no memory any more, or will not be in so many seconds."""
        return False

    @abstractmethod
    def close(self) -> None:
        """Let go of what is held open between steps."""

    @contextmanager
    def snapshot(self, step: int) -> Iterator[Dump | None]:
        """As open, closed again afterwards."""
        dump = self.open(step)
        try:
            yield dump
        finally:
            if dump is not None:
                dump.close()


class ProcessSource(Source):
    """A live process. which: of its memory."""

    def __init__(self, name: str, text: str, pid: int, which: Which) -> None:
        super().__init__(name, text)
        self.pid = pid
        self._which = which
        try:
            self._descriptor = os.pidfd_open(pid)
        except OSError as error:
            why = "there is none" if isinstance(error, ProcessLookupError) else error.strerror
            raise UsageError(f"process {pid} ({name}) cannot be recorded: {why}; see pgrep, or virsh list") from None

    def open(self, step: int) -> Dump | None:
        """Its memory now."""
        assert self.pid is not None
        return process_memory(self.pid, self._which)

    def is_gone(self, patience: float = 0.0) -> bool:
        """Whether it has ended, or does so in so many seconds."""
        return bool(select([self._descriptor], [], [], patience)[0])

    def close(self) -> None:
        """Let go of the process."""
        os.close(self._descriptor)


class FamilySource(ProcessSource):
    """Several live processes that are one system; it is gone when the first one is."""

    def __init__(self, name: str, text: str) -> None:
        pids = [word.removeprefix("pid:").partition(":")[0] for word in text.split(",")]
        super().__init__(name, text, _pid(pids[0]), "all")

    def pids(self) -> Sequence[int]:
        """All there are now."""
        return pids_of(self.text)

    def open(self, step: int) -> Dump | None:
        """Their memory now, each frame once."""
        return open_processes(self.text, FamilyDump)


class DumpSource(Source):
    """A series of dumps, one a step."""

    def __init__(self, name: str, paths: list[str]) -> None:
        super().__init__(name, ", ".join(paths))
        self.steps = len(paths)
        self.paths = paths
        for path in paths:  # so that the last one is not found to be missing hours later
            open_dump(path).close()

    def open(self, step: int) -> Dump | None:
        """The dump of that step."""
        return open_dump(self.paths[step]) if step < len(self.paths) else None

    def close(self) -> None:
        """Nothing is."""


def find_source(text: str, which: Which = "guest") -> Source:
    """What the user means. which: of a process's memory, where the text does not say. UsageError with the remedy."""
    name, equals, rest = text.partition("=")
    if not equals or os.path.exists(text):
        name, rest = "", text
    kind, _, what = rest.partition(":")
    if kind == "pid" and (what.endswith(f":{TREE}") or ",pid:" in what):
        return FamilySource(name or f"pid-{what.partition(':')[0]}", rest)
    if kind in ("pid", "domain") and what and not os.path.exists(rest):
        plain, _, said = what.rpartition(":")
        if said in CHOICES and plain:
            what, which = plain, cast(Which, said)
        pid = _pid(what) if kind == "pid" else _domain_pid(what)
        return ProcessSource(name or (f"pid-{what}" if kind == "pid" else what), rest, pid, which)
    paths = [rest] if os.path.exists(rest) else rest.split(",")
    if not all(paths):
        raise UsageError(f"{text!r} is no source; give pid:N, domain:NAME, a dump, or NAME=DUMP1,DUMP2,…")
    return DumpSource(name or Path(paths[0]).stem, paths)


def find_sources(texts: list[str], which: Which = "guest") -> list[Source]:
    """All of them. UsageError: two would have the same name."""
    sources = [find_source(text, which) for text in texts]
    names = [source.name for source in sources]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"two sources are called {twice!r}; write NAME=SOURCE to give each its own name")
    return sources


def _pid(text: str) -> int:
    if not _PID.fullmatch(text):
        raise UsageError(f"pid:{text[:20]} names no process; give its number, as in pid:1234")
    return int(text)


def _domain_pid(name: str) -> int:
    pid = process_of(name)
    if pid is None:
        raise UsageError(f"no running domain {name!r}; see `virsh list`")
    return pid
