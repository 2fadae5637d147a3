"""Memory dumps for experiments that can do with others' memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vmdedup.available import available_memory
from vmdedup.dump.open import open_dump
from vmdedup.errors import DumpError, EnvironmentLacksError, UsageError
from vmdedup.papers.bench.base import Dumped
from vmdedup.papers.table import EXPERIMENTS
from vmdedup.units import PAGE_SIZE, format_size

if TYPE_CHECKING:
    from vmdedup.papers.bench.base import Experiment

_KEPT_FREE = 0.75  # share of what this machine can give that pages may take


def read_dumps(names: Sequence[str], chosen: Iterable[Experiment], say: Callable[[str], None]) -> Dumped:
    """What dumps hold, read into memory. Raises VmdedupError: an experiment that takes none; a bad dump; no room."""
    _refuse_others(chosen)
    with ExitStack() as stack:
        dumps = [stack.enter_context(open_dump(name)) for name in names]
        present = sum(dump.present for dump in dumps)
        if not present:
            raise DumpError(f"{', '.join(names)}: no page in it; name a dump of memory that was in use")
        pages = _room_for(present)
        filled = zeros = 0
        for dump in dumps:
            for block in dump.blocks():
                say(f"{dump.name}: {filled + zeros:,} of {present:,} pages")
                rows = block.load()
                used = rows.any(axis=1)
                kept = int(used.sum())
                pages[filled : filled + kept] = rows[used]
                filled, zeros = filled + kept, zeros + len(rows) - kept
        if zeros:
            pages[filled] = 0
            filled, zeros = filled + 1, zeros - 1
        return Dumped(tuple(dump.name for dump in dumps), pages[:filled], zeros)


def _refuse_others(chosen: Iterable[Experiment]) -> None:
    takers = " or ".join(name for name, each in EXPERIMENTS.items() if each.takes_dumps)
    for experiment in chosen:
        if not experiment.takes_dumps:
            raise UsageError(f"{experiment.name} makes its own guests; leave out --dumps, or run {takers} with them")


def _room_for(pages: int) -> NDArray[np.uint8]:
    """Rows for so many pages: what is not written to takes no memory. EnvironmentLacksError: they might not fit."""
    wanted, room = pages * PAGE_SIZE, available_memory().bytes
    if wanted > _KEPT_FREE * room:
        raise EnvironmentLacksError(
            f"the dumps hold up to {format_size(wanted)}, which has to be read into memory, and {format_size(room)} "
            "are available; name fewer or smaller dumps"
        )
    return np.empty((pages, PAGE_SIZE), np.uint8)
