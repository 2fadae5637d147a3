"""docs/speed.md: the figures of benchmarks.policies as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.images import COMMON, LIVED_MS
from benchmarks.operations import PAPER_US
from benchmarks.scanning import PHASES

_FEW = 0.03  # a smaller share of the time is left out
_HEAD = """# How fast policies scan

Made by `python -m benchmarks.policies {arguments}`; pages a second, ratios, shares and µs of ours are of that run.

Each policy and `ksm` (the emulated ksmd) scan the same bytes in the same run, in turn:
{pages:,} pages of each content, in batches of {batch:,};
pairs of runs: {rounds}, and a ratio is the median over the pairs. Rate limits and smart scan are off, so that every
page is looked at. *first* is the first pass over all pages, *settling* the {settling} passes after it, in which most is
shared or packed, *steady* {steady} more. Pages a second are of CPU time, Python part included.

What a scan is for those that do not scan as ksmd does: `ideal` looks at all memory each time that somebody stored,
however few pages it is given. `esx` draws pages at random; a pass is as many as there are. `none` scans nothing. The
controllers are ksmd at the speed that they give it; they are not slowed down here (no figure: the controller had
switched ksmd off). They run the very same code as `ksm`, so how far their ratios are from 1 is how far any ratio here
may be off by what else the machine did. `ksm_domains` finds fewer equal pages, and what has no equal is looked up again
in each pass. `background` looks at a page only when an event says so; where nothing is due there is no figure.
Contents: noise, every page another one; {common} pages of noise, over and over; pages whose first half is the same
everywhere; four servers with one generated disk after {lived} s; a phone with apps after as long.
"""
_COSTS = """
## Where the time goes

For what is slower than ksmd, in the phase that is furthest behind it: shares of the policy's time, by Python's
profiler, which makes the share of Python larger than it is. *hashing* is the number of bytes hashed at the price of
hashing the same pages one after the other; *kernels* is the rest of compiled code: page tables, tables of hashes,
comparing, mapping (with ksmd's own kernels, hashing too). *packing*, *patching*, *compression*, *signatures* and
*storage* are what it costs to keep pages in other forms, and to look for similar ones.

Where the emulator can tell by a bit of the page table that nobody stored to a page, no page is read again only to find
the same hash; but each has to be read once. Hashing a page takes {in_order:.2f} µs where pages follow each other in
memory, and {at_random:.2f} µs where they are drawn at random, as `esx` draws them: no processor fetches ahead what is
drawn. By so much its first passes are slower than ksmd's.
"""
_OPERATIONS = """
## Other forms than whole pages

Microseconds of CPU time for a page, and what Gupta et al., OSDI 2008, table 2, measured for the same.
"""


def worst(result: Mapping[str, Any]) -> float:
    """The smallest ratio of those phases in which the policy looked at something; 0: it never does."""
    return min((ratio for ratio in result["ratio"].values() if ratio), default=0.0)


def page(document: Mapping[str, Any], arguments: Sequence[str]) -> str:
    """The document in Markdown."""
    policies = document["policies"]
    contents = list(next(iter(policies.values())))
    given = {"settling": PHASES["settling"], "steady": PHASES["steady"], "common": COMMON, "lived": LIVED_MS // 1000}
    parts = [_HEAD.format(arguments=" ".join(arguments), **given, **document)]
    parts += [_rates(content, policies) for content in contents]
    reading = {name.replace(" ", "_"): spent for name, spent in document["reading_us"].items()}
    parts += [_COSTS.format(**reading), _shares(policies)]
    if document["operations_us"]:
        parts += [_OPERATIONS, _operations(document["operations_us"])]
    return "\n".join(parts) + "\n"


def _rates(content: str, policies: Mapping[str, Any]) -> str:
    lines = [f"\n## {content}\n", f"Million pages a second; times ksmd's.\n\n| policy | {' | | '.join(PHASES)} | |"]
    lines.append("|---" * (1 + 2 * len(PHASES)) + "|")
    for label, found in policies.items():
        result = found[content]
        pairs = [(result["pages_per_second"][phase], result["ratio"][phase]) for phase in PHASES]
        cells = [f"{rate / 1e6:.2f} | {ratio:.2f}" if rate else "– | –" for rate, ratio in pairs]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _shares(policies: Mapping[str, Any]) -> str:
    lines = ["| policy | content | phase | times ksmd's | time |", "|---|---|---|---|---|"]
    for label, found in policies.items():
        for content, result in found.items():
            if "shares" in result:
                phase = min((p for p in PHASES if result["ratio"][p]), key=lambda p: float(result["ratio"][p]))
                named = ", ".join(f"{n} {100 * s:.0f} %" for n, s in result["shares"][phase].items() if s >= _FEW)
                lines.append(f"| {label} | {content} | {phase} | {result['ratio'][phase]:.2f} | {named} |")
    return "\n".join(lines)


def _operations(found: Mapping[str, float]) -> str:
    lines = ["| operation | here | paper |", "|---|---|---|"]
    lines += [f"| {name} | {spent:.1f} | {PAPER_US[name]:.1f} |" for name, spent in found.items()]
    return "\n".join(lines)
