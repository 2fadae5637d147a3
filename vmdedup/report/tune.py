"""What `vmdedup tune` prints: lines, each figure with the number of its run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Said = Mapping[str, Any]


def lines(found: Said) -> Iterator[str]:
    """The answer of tune.answer.answer(), for people."""
    yield f"today:   {_run(found['today'])}"
    if found["goal"] is None:
        yield "no other run beats these in saving, time to 90% and CPU at once:"
        yield from (f"  {_run(one)}" for one in found["front"])
        return
    if found["best"] is None:
        yield "no run came to its end; the table has their reasons"
        return
    yield f"goal:    {found['goal']}: {'reached' if found['reached'] else 'NOT reached; nearest to it:'}"
    yield f"best:    {_run(found['best'])}"
    yield f"against today: {_gain(found)}"
    for one in found["simpler"]:
        yield f"simpler: {_run(one)} (at most {found['margin_percent']:g}% more CPU)"
    for name, change in found["knobs"].items():
        share, cpu = change["saved_percent_of_possible"], change["ksmd_percent"]
        yield f"{name} as today, alone: saved {share:+.1f}% of possible, ksmd {cpu:+.2f}% (run {change['run']})"


def _run(one: Said) -> str:
    settings = " ".join(f"{name}={value}" for name, value in one["settings"].items())
    if one["ended"] != "complete":
        return f"{settings}: {one['ended']} (run {one['run']})"
    reached = one["seconds_to_90_percent"]
    when = "90% never" if reached is None else f"90% in {reached:.1f} s"
    share = one["saved_percent_of_possible"] or 0.0
    figures = f"saved {one['saved_mib']:.1f} MiB, {share:.1f}% of possible, {when}, ksmd {one['ksmd_percent']:.2f}%"
    return f"{settings}: {figures} (run {one['run']})"


def _gain(found: Said) -> str:
    best, today = found["best"], found["today"]
    if today["ended"] != "complete":
        return f"today's settings did not come to their end (run {today['run']})"
    saved, cpu = best["saved_mib"] - today["saved_mib"], best["ksmd_percent"] - today["ksmd_percent"]
    return f"saved {saved:+.1f} MiB, ksmd {cpu:+.2f}% of a core (runs {best['run']}, {today['run']})"
