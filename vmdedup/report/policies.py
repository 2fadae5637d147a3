"""The table after a run of several policies, from its document (result.policies) only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from vmdedup.report.console import print_parts
from vmdedup.report.fitted import fitted
from vmdedup.report.summary import times

Document = Mapping[str, Any]
Column = tuple[str, Callable[[Document], Any], str]  # heading, value, format


def _size(key: str) -> Callable[[Document], Any]:
    return lambda policy: policy[key]


def _after(percent: str) -> Callable[[Document], Any]:
    return lambda policy: policy["seconds_to_percent_of_possible"][percent]


_SAVED: Sequence[Column] = (
    ("MiB", _size("saved_mib"), ",.1f"),
    ("%", _size("saved_percent"), ".1f"),
    ("mean MiB", _size("mean_saved_mib"), ",.1f"),
    ("mean %", _size("mean_saved_percent"), ".1f"),
    ("% of possible", _size("saved_percent_of_possible"), ".1f"),
    ("zero", _size("zero_mib"), ",.1f"),
    ("within", _size("within_guest_mib"), ",.1f"),
    ("between", _size("between_guests_mib"), ",.1f"),
    ("50 % s", _after("50"), ".1f"),
    ("90 % s", _after("90"), ".1f"),
    ("99 % s", _after("99"), ".1f"),
)
_COST: Sequence[Column] = (
    ("pages looked at", _size("pages_scanned"), ",d"),
    ("CPU s", _size("cpu_seconds"), ".3f"),
    ("CPU ms a MiB", lambda policy: _thousand(policy["cpu_seconds_per_saved_mib"]), ".3f"),
    ("copies", _size("cow_breaks"), ",d"),
    ("rebuilt", lambda policy: _rebuilt(policy), ",d"),
    ("guests' s", _size("guests_cost_seconds"), ".3f"),
    ("peak used MiB", _size("peak_used_mib"), ",.1f"),
)
_FORMS: Sequence[Column] = (
    ("by sharing", _size("shared_saved_mib"), ",.1f"),
    ("by patching", _size("patch_saved_mib"), ",.1f"),
    ("by compression", _size("compress_saved_mib"), ",.1f"),
    ("patched", _size("patched_mib"), ",.1f"),
    ("compressed", _size("compressed_mib"), ",.1f"),
    ("filled", _size("filled_mib"), ",.1f"),
    ("swapped", _size("swapped_mib"), ",.1f"),
    ("stored in", _size("storage_mib"), ",.1f"),
    ("references", _size("reference_mib"), ",.1f"),
)


def render(document: Document, console: Console) -> None:
    """Print the tables to the console."""
    print_parts(console, _parts(document, console.width))


def _parts(document: Document, width: int) -> Iterator[RenderableType]:
    policies = document["policies"]
    yield Text(_title(document), style="bold")
    yield ""
    yield from _tables("saved", _SAVED, policies, width)
    yield Text("at the end, and on average over time; seconds until so much of what was possible then", style="dim")
    yield ""
    yield from _tables("cost", _COST, policies, width)
    yield Text(_how(document), style="dim")
    yield from (Text(line, style="dim") for line in _remarks(policies))
    if below := [policy for policy in policies if policy["patched_mib"] or _packed(policy)]:
        yield ""
        yield from _tables("MiB", _FORMS, below, width)
        yield Text("saved by technique, storage taken off; pages kept in each form; frames behind them", style="dim")


def _remarks(policies: Sequence[Document]) -> Iterator[str]:
    """What the tables alone would hide."""
    for policy in policies:
        if policy.get("is_bound"):
            yield f"note: {policy['policy']} is a bound, no policy: what could be saved at most; its cost means nothing"
        if (controller := policy.get("controller")) is not None:
            looks, wrote = times(controller["looks"]), times(controller["adjustments"])
            yield f"note: {policy['policy']} looked {looks}, and wrote {wrote}"


def _packed(policy: Document) -> bool:
    return any(policy[f"{form}_mib"] for form in ("compressed", "filled", "swapped"))


def _title(document: Document) -> str:
    ended = "" if document["ended"] == "complete" else f" ({document['ended']})"
    return (
        f"{document['scenario']}: {len(document['policies'])} of {len(document['wanted'])} policies{ended}, "
        f"{document['clock']} clock, seed {document['seed']}, budget {document['budget']}"
    )


def _how(document: Document) -> str:
    how = "modelled, by operations and their prices" if document["clock"] == "lockstep" else "measured"
    return f"CPU of the policy: {how}; guests' s: copies and rebuilt pages at the prices of Difference Engine's Table 2"


def _tables(title: str, columns: Sequence[Column], policies: Sequence[Document], width: int) -> Iterator[Table]:
    names = [each["policy"] + ("" if each["ended"] == "complete" else f" ({each['ended']})") for each in policies]
    cells = [(heading, [_cell(value(each), form) for each in policies]) for heading, value, form in columns]
    return fitted(title, names, cells, width)


def _cell(value: Any, form: str) -> str:
    return "-" if value is None else format(value, form)


def _thousand(value: float | None) -> float | None:
    return None if value is None else 1000 * value


def _rebuilt(policy: Document) -> int | None:
    counts = [policy[name] for name in ("unpatched", "uncompressed", "swapped_in")]
    return None if None in counts else sum(counts)
