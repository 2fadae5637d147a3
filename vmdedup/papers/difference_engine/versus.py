"""Difference Engine against ESX, as rows: what ESX saves at each rate, and the ratio that is the paper's headline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vmdedup.papers.bench.verdict import Row
from vmdedup.papers.difference_engine.loads import PAPERS_RATE
from vmdedup.result.published import Level

ABOVE: Final = "Difference Engine saves more than ESX"
_LEAST: Final = 0.1  # per cent: of a smaller saving no ratio is taken


def esx_rows(
    before: str, level: Level | None, ratio: Level | None, engine: float, esx: Mapping[str, float]
) -> list[Row]:
    """Per cent saved by ESX at each rate, then by the engine as a multiple of that at the paper's rate.

    before: begins each figure's name. level, ratio: the paper's, if it has them; they are for PAPERS_RATE.
    """
    rows = []
    for rate, saved in esx.items():
        papers = rate == PAPERS_RATE
        claim = (ABOVE, engine > saved) if papers else ("", None)
        rows.append(Row(f"{before}ESX, {rate}", "%", level if papers else None, saved, *claim))
    times = engine / max(_LEAST, esx[PAPERS_RATE])
    return [*rows, Row(f"{before}Difference Engine to ESX", "×", ratio, times, ABOVE, times > 1)]
