"""What `vmdedup learn` answers, as the document that --json prints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

import vmdedup
from vmdedup.learn.alike import Likeness
from vmdedup.learn.boot import Boot
from vmdedup.learn.forecast import COVERS, Kind, forecast, saved_by
from vmdedup.learn.life import MOST_RATE, Life
from vmdedup.learn.model import Model
from vmdedup.units import PAGE_SIZE

SCHEMA_VERSION = 1


def answer(model: Model, guests: int, flagged: Iterable[Likeness] = ()) -> dict[str, Any]:
    """What was learnt and what is foretold of 1, 2, … guests. flagged: what was left out."""
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "learn",
        "vmdedup": vmdedup.__version__,
        "page_size": PAGE_SIZE,
        "covers": COVERS,
        "pages": model.places,
        "boots": [dict(boot) for boot in model.boots],
        "flagged": [described(each) for each in flagged],
        "classes": model.classes(),
        "life": _life(model.life),
        "forecast": forecast(model.kind, guests),
        "check": None,
    }


def described(found: Likeness) -> dict[str, Any]:
    """A dump held against the kind."""
    return {
        "name": found.name,
        "other_kind": found.is_other,
        "new": found.new,
        "most_new": found.most_new,
        "common": found.common,
        "least_common": found.least_common,
        "reason": found.reason if found.is_other else None,
    }


def _life(life: Life | None) -> dict[str, Any] | None:
    if life is None:
        return None
    pages = float(life.rates.astype(np.float64).sum()) / MOST_RATE
    return {
        "interval_s": life.interval_ns / 1e9,
        "pages_a_step": pages,
        "changing_pages": int(np.count_nonzero(life.rates)),
        "to": dict(zip(("absent", "zero", "elsewhere", "new"), life.to, strict=True)),
    }


def checked(kind: Kind, learnt: Sequence[Boot], further: Sequence[Boot], found: Sequence[Likeness]) -> dict[str, Any]:
    """Hold what is foretold against what further dumps really save: by themselves, and together with those learnt from.

    found: of each further dump; those of another kind take no part.
    """
    own = [boot for boot, each in zip(further, found, strict=True) if not each.is_other]
    rows = [_case(kind, own[:number], "further") for number in range(1, len(own) + 1)]
    rows += [_case(kind, [*learnt, *own[:number]], "all") for number in range(1, len(own) + 1)]
    rows = [row for row in rows if row["foretold_percent"] is not None]
    return {
        "dumps": [described(each) for each in found],
        "rows": rows,
        "cases": len(rows),
        "inside": sum(row["inside"] for row in rows),
    }


def _case(kind: Kind, boots: Sequence[Boot], of: str) -> dict[str, Any]:
    row = forecast(kind, len(boots))[-1]
    saved = 100 * saved_by(boots) / max(1, sum(boot.present for boot in boots))
    return {
        "guests": len(boots),
        "of": of,
        "saved_percent": saved,
        "foretold_percent": row["saved_percent"],
        "low_percent": row["low_percent"],
        "high_percent": row["high_percent"],
        "inside": bool(row["low_percent"] <= saved <= row["high_percent"]),
    }
