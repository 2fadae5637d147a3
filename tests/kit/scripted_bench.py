"""Published experiments on results that are made up: what each says of them can be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vmdedup.papers.bench.base import Bench
from vmdedup.result import columns
from vmdedup.result.run import Result
from vmdedup.result.tables import table

Answer = Callable[[Mapping[str, Any]], Result]


def made_result(rows: list[dict[str, float]], **more: float) -> Result:
    """A run whose series has these rows, a second apart, all else being zero. more: columns that every row has."""
    blank = dict.fromkeys([*columns.SERIES, *columns.POLICY], 0)
    series = table([{**blank, "time_s": float(i), **row, **more} for i, row in enumerate(rows)], columns.SERIES)
    empty: Any = None
    return Result({}, series, empty, empty, empty)


class ScriptedBench(Bench):
    """A quick bench whose runs are answered by a function of their scenario. asked: all scenarios that were run."""

    asked: list[Mapping[str, Any]]

    def __init__(self, answer: Answer, quick: bool = True) -> None:
        super().__init__(quick=quick)
        object.__setattr__(self, "asked", [])
        object.__setattr__(self, "_answer", answer)

    def run(self, data: Mapping[str, Any]) -> Result:
        """The script's answer."""
        self.asked.append(data)
        answer: Answer = self._answer  # type: ignore[attr-defined]
        return answer(data)


class KeepingBench(Bench):
    """A quick bench that keeps what its runs came to. kept: each with its scenario."""

    kept: list[tuple[Mapping[str, Any], Result]]

    def __init__(self, seed: int = 1) -> None:
        super().__init__(quick=True, seed=seed)
        object.__setattr__(self, "kept", [])

    def run(self, data: Mapping[str, Any]) -> Result:
        """A real run."""
        self.kept.append((data, super().run(data)))
        return self.kept[-1][1]
