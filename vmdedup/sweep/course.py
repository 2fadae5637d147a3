"""The course of a sweep: runs handed out as there is room for them, rows kept as they come, in whatever order."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, Final, Protocol

from vmdedup.errors import VmdedupError
from vmdedup.result.sweep import row_of
from vmdedup.sweep.grid import Grid, Task, cells

REFUSED: Final = "refused"  # how a run ended that could not begin: its values do not go together
_LOOK: Final = 1.0  # seconds between two looks at who makes runs

Row = Mapping[str, Any]


class Places(Protocol):
    """Who makes runs. places: how many at once."""

    @property
    def places(self) -> int:
        """How many runs are wanted at once; it may change."""

    def submit(self, scenario: bytes) -> Future[dict[str, Any]]:
        """Have a run made of a pickled scenario; what children.perform returns."""

    def answer(self, future: Future[dict[str, Any]]) -> dict[str, Any]:
        """What came of a run that has ended. VmdedupError: no more runs can be made."""

    def look(self) -> None:
        """Called now and then. VmdedupError: no run can be made any more."""


def make_runs(grid: Grid, done: Collection[int], places: Places, keep: Callable[[Row], None]) -> None:
    """Make the runs that are not done. keep: is given each row. VmdedupError: no more of them can be made."""
    left = iter([task for task in grid.tasks if task.number not in done])
    going: dict[Future[dict[str, Any]], Task] = {}
    while _hand_out(grid, left, going, places, keep) or going:
        finished, _ = wait(going, _LOOK, FIRST_COMPLETED)
        for future in finished:
            keep(_row(grid, going.pop(future), places.answer(future)))
        places.look()


def _hand_out(
    grid: Grid,
    left: Iterator[Task],
    going: dict[Future[dict[str, Any]], Task],
    places: Places,
    keep: Callable[[Row], None],
) -> bool:
    """Hand out what there is room for. Returns whether there may be more."""
    while len(going) < places.places:
        task = next(left, None)
        if task is None:
            return False
        try:
            scenario = grid.load(task)
        except VmdedupError as error:
            keep(_row(grid, task, {"ended": REFUSED, "reason": str(error)}))
        else:
            going[places.submit(pickle.dumps(scenario))] = task
    return True


def _row(grid: Grid, task: Task, found: Mapping[str, Any]) -> Row:
    return row_of(cells(task, grid.axes), found)
