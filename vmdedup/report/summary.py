"""The text after a run: what was saved, for whom, how soon, and what it cost.

Reads the summary document (result.summary) only. Tables of many guests are summed up by group; the results
directory has all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from vmdedup.report.console import print_parts
from vmdedup.report.matrix import caption, matrix_table
from vmdedup.units import SECOND_NS, format_duration

Document = Mapping[str, Any]

MOST_GUESTS = 16  # rows of the table of guests; the others are summed up
MOST_MOMENTS = 8  # events shown, the last ones
_SIZES = ("allocated", "used", "saved", "zero", "within_guest", "between_guests")
_HEADINGS = ("guest", "state", "allocated", "used", "saved", "%", "zero", "within", "between")


def render(summary: Document, console: Console) -> None:
    """Print the summary to the console."""
    print_parts(console, _parts(summary, console.width))


def _parts(summary: Document, width: int) -> Iterator[RenderableType]:
    yield Text(title(summary), style="bold")
    yield ""
    yield _answers(summary)
    yield ""
    yield guest_table(summary["guests"])
    yield Text("MiB; a page that g guests share counts 1/g to each of them", style="dim")
    matrix = matrix_table(summary, width)
    if matrix is not None:
        yield ""
        yield matrix
        yield Text(caption(summary), style="dim")
    if happened := summary["moments"]:
        left_out = len(happened) - MOST_MOMENTS
        yield ""
        if left_out > 0:
            yield Text(f"({left_out} earlier events are in run.json)", style="dim")
        yield Group(*(Text(moment_text(moment)) for moment in happened[-MOST_MOMENTS:]))
    if expected := summary.get("expectations"):
        yield ""
        yield Group(*(Text(expected_text(each)) for each in expected))


def expected_text(each: Document) -> str:
    """One expectation, and what was found."""
    found = "no such sample" if each["found"] is None else f"{each['found']:g} {each['unit']}"
    return f"{'✓' if each['holds'] else '✗'} {each['that']}: {found}"


def title(summary: Document) -> str:
    """What was run, in a line."""
    ended = "" if summary["ended"] == "complete" else f" ({summary['ended']})"
    return (
        f"{summary['scenario']}: {len(summary['guests'])} guests, {_seconds(summary['seconds'])}{ended}, "
        f"{summary['clock']} clock, seed {summary['seed']}{_under(summary)}"
    )


def _policy(summary: Document) -> str:
    """Who scanned, as people call it."""
    policy = str(summary.get("policy", "ksm"))
    return "ksmd" if policy == "ksm" else policy


def _under(summary: Document) -> str:
    return "" if _policy(summary) == "ksmd" else f", under {_policy(summary)}"


def _answers(summary: Document) -> Table:
    """Two columns: a word, and the figures for it."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column()
    for name, answer in answers(summary):
        table.add_row(name, answer)
    return table


def answers(summary: Document) -> Iterator[tuple[str, str]]:
    """A word, and the figures for it in a sentence; what has no answer is left out."""
    for name, answer in (
        ("saved", _saved(summary)),
        ("of it", _split(summary)),
        ("splits", _splits(summary)),
        ("possible", _possible(summary)),
        ("reached", _reached(summary)),
        ("peak", _peak(summary)),
        ("worst", _worst(summary)),
        ("host", _host(summary)),
        ("pressure", _pressure(summary)),
        ("cost", _cost(summary)),
        ("steered", _steered(summary)),
        ("kept" if summary.get("forms") else "profit", _kept(summary) or _profit(summary)),
    ):
        if answer:
            yield name, answer


def _saved(summary: Document) -> str:
    return (
        f"{_mib(summary['saved_mib'])} ({summary['saved_percent']:.1f} %): guests hold "
        f"{_mib(summary['allocated_mib'])} in {_mib(summary['used_mib'])} of host memory"
    )


def _split(summary: Document) -> str:
    zero, within, between = (_mib(summary[f"{k}_mib"]) for k in ("zero", "within_guest", "between_guests"))
    return f"zero pages {zero}, inside one guest {within}, between guests {between}"


def _splits(summary: Document) -> str:
    """What splits of huge pages freed, of real guests."""
    split = summary.get("split_zero_mib")
    if not split:
        return ""
    return (
        f"{_mib(split)} more freed: zeros of huge pages that ksmd split, which the kernel counts nowhere; "
        f"{_mib(summary['freed_mib'])} in all"
    )


def _possible(summary: Document) -> str:
    percent = summary["saved_percent_of_possible"]
    share = f"; {percent:.1f} % of that is saved" if percent is not None else ""
    zeros = "as one page" if summary["possible_zero_frames"] else "as none"
    return f"{_mib(summary['possible_mib'])} if every content were kept once (zeros {zeros}){share}"


def _reached(summary: Document) -> str:
    """When so many per cent of what was possible at each moment were saved."""
    reached = summary["seconds_to_percent_of_possible"]
    words = [f"{p} % {f'after {_seconds(s)}' if s is not None else 'never'}" for p, s in reached.items()]
    begin = summary.get("possible_from_seconds")
    since = f", from {_seconds(begin)} on, when half of the most was possible" if begin else ""
    return ", ".join(words) + f" (of what was possible at that moment{since})"


def _peak(summary: Document) -> str:
    held, used = (_mib(summary[f"peak_{part}_mib"]) for part in ("allocated", "used"))
    return f"guests held up to {held}, the host used up to {used}"


def _worst(summary: Document) -> str:
    """The host's worst moment, and what guests paid for sharing."""
    worst = summary.get("worst")
    if not worst:
        return ""
    host = f" (host {worst['host_mib']:,.1f}{': FULL' if worst['full'] else ''})" if worst["host_mib"] else ""
    text = f"{_mib(worst['used_mib'])} at {_seconds(worst['seconds'])}{host}"
    if worst["copying_seconds"]:
        text += f"; copy-on-write cost the guests {worst['copying_seconds']:.2g} s"
    return text


def moment_text(moment: Document) -> str:
    """An event, and what it did to the host."""
    text = f"{_seconds(moment['seconds'])}: {moment['text']}"
    if moment.get("most_used_mib") is None:
        return text
    full = " → HOST FULL" if moment["full"] else ""
    after = _seconds(moment["most_after_seconds"])
    return f"{text}: used {moment['used_mib']:,.1f} → {moment['most_used_mib']:,.1f} MiB in {after}{full}"


def _pressure(summary: Document) -> str:
    """What the host did that had too little memory."""
    found = summary.get("pressure")
    if not found or not (found["pswpout"] or found["oom_kills"]):
        return ""
    killed = f"; {found['oom_kills']} killed" if found["oom_kills"] else ""
    return (
        f"{_mib(found['swap_used_mib'])} in swap, stored in {_mib(found['swap_stored_mib'])}; {found['pswpout']:,} "
        f"pages out, {found['pswpin']:,} in; guests waited {found['waiting_percent']:.2f} % of their time{killed}"
    )


def _host(summary: Document) -> str:
    """What the host got where that is less than its guests have, and nobody asked for it."""
    host = summary.get("host")
    if not host or not host["capped"]:
        return ""
    return (
        f"{_mib(host['memory_mib'])}, though its guests have {_mib(host['guests_mib'])}: only "
        f"{_mib(host['available_mib'])} were available here"
    )


_PRICES: Final = {
    "page_cost": "modelled, by page_cost",
    "host": "modelled, by this host's prices",
    "built-in": "modelled, by built-in prices; `vmdedup calibrate` measures this host's",
    "measured": "measured",
}
# Of others than ksmd only what ksmd does too is measured; the rest is in proportion (policy.work).
_OTHERS_PRICES: Final = {
    **_PRICES,
    "host": "modelled, by prices that follow this host's ksmd",
    "built-in": "modelled, by built-in prices, which follow ksmd's; `vmdedup calibrate` measures ksmd's here",
}


def _cost(summary: Document) -> str:
    prices = _PRICES if _policy(summary) == "ksmd" else _OTHERS_PRICES
    how = prices.get(str(summary.get("ksmd_cpu_prices"))) or (
        "modelled" if summary["clock"] == "lockstep" else "measured"
    )
    if summary.get("is_bound"):
        how += "; it is a bound, no policy: this means nothing"
    cpu, scanned = summary["ksmd_cpu_seconds"], summary["pages_scanned"]
    text = f"{scanned:,} pages scanned, {cpu:.2f} CPU s of {_policy(summary)} ({how})"
    if summary["pages_scanned_per_saved_mib"] is not None:
        per_mib = summary["ksmd_cpu_seconds_per_saved_mib"]
        text += f": {summary['pages_scanned_per_saved_mib']:,.0f} pages and {per_mib:.3g} CPU s a saved MiB"
    return text


def _steered(summary: Document) -> str:
    """How often the daemon that steers ksmd looked; nothing where there is none."""
    controller = summary.get("controller")
    if not controller:
        return ""
    looks, wrote = controller["looks"], controller["adjustments"]
    never = "" if looks else ": this run was too short for it, and shows ksmd as it was set at first"
    return f"{_policy(summary)} looked {times(looks)}, and wrote {times(wrote)}{never}"


def times(count: int) -> str:
    """A count of times in words."""
    return "once" if count == 1 else f"{count:,} times"


def _kept(summary: Document) -> str:
    """What a policy kept in other forms, and what guests paid; nothing in runs without one."""
    forms = summary.get("forms")
    if not forms:
        return ""
    kept = ", ".join(f"{form} {_mib(forms[f'{form}_mib'])}" for form in ("patched", "compressed", "swapped", "filled"))
    rebuilt = forms["unpatched"] + forms["uncompressed"] + forms["swapped_in"]
    return (
        f"{kept}, in {_mib(forms['storage_mib'])}; guests: {_breaks(summary['cow_breaks'])} copies, "
        f"{rebuilt:,} pages rebuilt, {forms['guests_cost_seconds']:.3g} s"
    )


def _profit(summary: Document) -> str:
    return (
        f"{summary['general_profit'] / 2**20:+,.1f} MiB by general_profit; KSM's own metadata "
        f"{_mib(summary['metadata_mib'])}; copy-on-write breaks: {_breaks(summary['cow_breaks'])}"
    )


def _breaks(count: int | None) -> str:
    return "not known" if count is None else f"{count:,}"


def guest_table(guests: list[Document]) -> Table:
    """A row a guest (MiB); of more than MOST_GUESTS, a row a group with its sums."""
    rows = guests if len(guests) <= MOST_GUESTS else _by_group(guests)
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="cyan")
    for heading in _HEADINGS:
        if heading in ("guest", "state"):
            table.add_column(heading, overflow="fold")  # so that names give way, and figures stay whole
        else:
            table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        sizes = [f"{row[f'{part}_mib']:,.1f}" for part in _SIZES]
        table.add_row(row["name"], row["state"], *sizes[:3], f"{_percent(row):.1f}", *sizes[3:])
    return table


def _by_group(guests: list[Document]) -> list[Document]:
    groups: dict[str, list[Document]] = {}
    for guest in guests:
        groups.setdefault(str(guest["group"]), []).append(guest)
    return [members[0] if len(members) == 1 else _sum(name, members) for name, members in groups.items()]


def _sum(name: str, members: list[Document]) -> Document:
    states = sorted({str(member["state"]) for member in members})
    sums = {f"{part}_mib": sum(member[f"{part}_mib"] for member in members) for part in _SIZES}
    return {"name": f"{name} × {len(members)}", "state": ", ".join(states), **sums}


def _percent(row: Document) -> float:
    return float(100 * row["saved_mib"] / row["allocated_mib"]) if row["allocated_mib"] else 0.0


def _mib(size: float) -> str:
    return f"{size:,.1f} MiB"


def _seconds(seconds: float) -> str:
    return format_duration(round(seconds * SECOND_NS))
