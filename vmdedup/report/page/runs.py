"""Runs on a page: the answer, charts, matrices, cost, events, tunables, reasons, and how to get it again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from vmdedup.page.document import escaped
from vmdedup.page.tables import table
from vmdedup.report.compare.document import compare
from vmdedup.report.compare.figures import BACKENDS, from_result
from vmdedup.report.summary import answers, moment_text, title
from vmdedup.result import charts
from vmdedup.result.run import Result

MOST_GUESTS: Final = 200
MOST_EVENTS: Final = 100
_SIDE: Final = {
    "saved_mib": "saved, MiB",
    "saved_percent": "saved, % of what guests hold",
    "saved_percent_of_possible": "saved, % of what was possible",
    "allocated_mib": "held by guests, MiB",
    "used_mib": "used, MiB",
    "possible_mib": "possible, MiB",
    "zero_mib": "of saved: zero pages, MiB",
    "within_guest_mib": "of saved: inside one guest, MiB",
    "between_guests_mib": "of saved: between guests, MiB",
    "split_zero_mib": "freed beside that by splits of huge pages, MiB",
    "peak_used_mib": "most used, MiB",
    "pages_scanned": "pages scanned",
    "ksmd_cpu_seconds": "CPU of the scanner, s",
    "ksmd_cpu_seconds_per_saved_mib": "CPU a saved MiB, s",
    "cow_breaks": "copies on write",
    "metadata_mib": "metadata, MiB",
}
_GUEST: Final = ("allocated", "used", "saved", "zero", "within_guest", "between_guests")


def run_parts(runs: Mapping[str, Result]) -> Iterator[str]:
    """All of it, part by part."""
    yield "<h2>Over time</h2>" + _beside(charts.savings(runs), charts.memory(runs))
    yield "<h2>Where savings come from</h2>" + charts.sources(runs)
    yield _beside(*(charts.matrix(label, result) for label, result in runs.items()))
    yield from _answers(runs)
    yield from _guests(runs)
    yield "<h2>Cost</h2>" + charts.cpu(runs) + _side_by_side(runs)
    if drawn := charts.huge_pages(runs):
        yield f"<h2>Huge pages</h2>{drawn}"
    yield from _events(runs)
    yield f"<h2>Tunables</h2>{_tunables(runs)}"
    if len(runs) > 1:
        yield from _reasons(runs)
    yield from _again(runs)


def _beside(*drawn: str) -> str:
    """Charts beside each other, where there is room."""
    return f'<div class="charts">{"".join(drawn)}</div>'


def headline(runs: Mapping[str, Result]) -> str:
    """The answer in a sentence: of one run, or of that which saved most; a bound is none that can be had."""
    real = {label: result for label, result in runs.items() if not result.summary.get("is_bound")} or runs
    label, best = max(real.items(), key=lambda pair: float(pair[1].summary["saved_mib"]))
    summary = best.summary
    share = summary["saved_percent_of_possible"]
    of_possible = "" if share is None else f", {share:.0f} % of what was possible"
    said = (
        f"{len(summary['guests'])} guests of “{summary['scenario']}” hold {summary['allocated_mib']:,.0f} MiB in "
        f"{summary['used_mib']:,.0f} MiB: {summary['saved_mib']:,.0f} MiB ({summary['saved_percent']:.0f} %) are "
        f"saved{of_possible}, for {summary['ksmd_cpu_seconds']:.2g} s of CPU in {summary['seconds']:g} s."
    )
    return said if len(runs) == 1 else f"Of {len(runs)} runs, {label} saves most. {said}"


def _answers(runs: Mapping[str, Result]) -> Iterator[str]:
    yield "<h2>In words</h2>"
    for label, result in runs.items():
        backend = str(result.run.get("backend", "emulator"))
        yield f"<h3>{escaped(label)}: {escaped(title(result.summary))}, {escaped(BACKENDS.get(backend, backend))}</h3>"
        yield table(("", ""), answers(result.summary), texts=2)


def _guests(runs: Mapping[str, Result]) -> Iterator[str]:
    for label, result in runs.items():
        guests = result.summary["guests"]
        rows = [(each["name"], each["state"], *(each[f"{part}_mib"] for part in _GUEST)) for each in guests]
        heads = ("guest", "state", "allocated", "used", "saved", "zero", "within", "between")
        more = f"; the first {MOST_GUESTS} of {len(guests)}" if len(guests) > MOST_GUESTS else ""
        yield f"<details><summary>Guests of {escaped(label)}, MiB{more}</summary>"
        yield table(heads, rows[:MOST_GUESTS], texts=2) + "</details>"


def _side_by_side(runs: Mapping[str, Result]) -> str:
    rows = [(name, *(result.summary.get(key) for result in runs.values())) for key, name in _SIDE.items()]
    return table(("at the end", *runs), [row for row in rows if any(value is not None for value in row[1:])])


def _events(runs: Mapping[str, Result]) -> Iterator[str]:
    for label, result in runs.items():
        if moments := result.summary["moments"]:
            items = "".join(f"<li>{escaped(moment_text(moment))}</li>" for moment in moments[:MOST_EVENTS])
            left = len(moments) - MOST_EVENTS
            more = f"<p>and {left:,} more, in run.json</p>" if left > 0 else ""
            yield f"<h2>Events of {escaped(label)}</h2><ul>{items}</ul>{more}"


def _tunables(runs: Mapping[str, Result]) -> str:
    """What differs is told from the rest."""
    of = [_flat(result) for result in runs.values()]
    rows = [
        (name, *(knobs.get(name) for knobs in of)) for name in dict.fromkeys(name for knobs in of for name in knobs)
    ]
    marked = [number for number, row in enumerate(rows) if len({str(value) for value in row[1:]}) > 1]
    return table(("tunable", *runs), rows, marked)


def _flat(result: Result) -> dict[str, Any]:
    """The policy, and what it was told at the end."""
    run = result.run
    return {
        "policy": run.get("policy", "ksm"),
        "clock": run.get("clock"),
        "seed": run.get("seed"),
        **run.get("knobs", {}),
    }


def _reasons(runs: Mapping[str, Result]) -> Iterator[str]:
    figures = [from_result(result, label) for label, result in runs.items()]
    first = figures[0].label
    yield "<h2>Reasons of differences</h2>"
    for each in compare(figures)["reasons"]:
        label = figures[each["run"]].label
        said = "".join(f"<li>{escaped(reason['text'])}</li>" for reason in each["found"])
        yield f"<h3>{escaped(label)}, beside {escaped(first)}</h3>"
        yield f"<ul>{said}</ul>" if said else "<p>None that the data show.</p>"


def _again(runs: Mapping[str, Result]) -> Iterator[str]:
    yield "<h2>How to get it again</h2>"
    for label, result in runs.items():
        run = result.run
        versions = ", ".join(f"{name} {version}" for name, version in run.get("versions", {}).items())
        machine = ", ".join(f"{name} {value}" for name, value in run.get("machine", {}).items())
        yield f"<h3>{escaped(label)}</h3><p>Seed {escaped(run.get('seed'))}, {escaped(run.get('clock'))} clock, "
        yield f"begun {escaped(run.get('started'))}. {escaped(versions)}. On: {escaped(machine)}.</p>"
        said = json.dumps(run.get("scenario", {}), indent=1, sort_keys=True, ensure_ascii=False)
        lines = "\n".join(map(escaped, said.split("\n")))
        yield f"<details><summary>The scenario as it was run</summary><pre>{lines}</pre></details>"
