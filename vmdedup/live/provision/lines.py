"""The lines of a pipe, with a word in between when nothing comes for a while."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from typing import IO

BEAT = 0.2  # seconds


def lines_of(pipe: IO[str], beat: float = BEAT) -> Iterator[str]:
    """Each line as it comes, without its end; an empty one after each beat (seconds) in which none came."""
    descriptor, rest = pipe.fileno(), b""
    while True:
        if not select.select([descriptor], [], [], beat)[0]:
            yield ""
            continue
        part = os.read(descriptor, 1 << 16)
        if not part:
            break
        *whole, rest = (rest + part).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace")
    if rest:
        yield rest.decode(errors="replace")
