"""vmdedup calibrate: what the kernel's ksmd takes on this host, for the CPU time that runs state."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

HELP = """Measure what the kernel's ksmd takes on this host, operation by operation, and keep it for runs.

Pages of several kinds are given to the kernel's ksmd and to the emulated one, which counts what is done with each; the
prices follow from both. `vmdedup run` then states CPU time by them, other policies' too, whose prices follow from
ksmd's; without them, by built-in prices. What a run does stays the same on every host, unless --prices host is given.
Needs root and an idle KSM, and takes about a minute; KSM's tunables are as before afterwards.

The prices are kept in /var/lib/vmdedup/prices.json, or in the file that VMDEDUP_PRICES names; runs look there.

\b
  sudo vmdedup calibrate
  vmdedup calibrate --show                 the prices that runs are billed by now
  sudo vmdedup calibrate -o prices.json    into another file: VMDEDUP_PRICES=prices.json vmdedup run
"""


def calibrate(
    rounds: Annotated[int, typer.Option(min=1, max=100, help="How often each is measured; medians count.")] = 3,
    pages: Annotated[int, typer.Option(min=4096, max=1 << 20, help="Pages of each kind.")] = 32768,
    show: Annotated[bool, typer.Option("--show", help="Measure nothing: show the prices in force.")] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Another file for the prices.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace that file, whatever it is.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> int:
    """Returns the exit status."""
    from vmdedup.cli.say import Progress, say, say_document
    from vmdedup.live.prices import calibrated

    if show:
        document, where = calibrated.in_force(), None
    else:
        named = calibrated.output(output, force)
        with Progress(quiet) as progress:
            document = calibrated.measure(pages, rounds, lambda what: progress.show(f"measuring {what}"))
        where = calibrated.keep(document, named)
    if as_json:
        say_document(document)
        return 0
    for line in _lines(document):
        say(line)
    if where is not None:
        say(f"written to {where}")
    return 0


def _lines(document: dict[str, Any]) -> Iterator[str]:
    """Two tables."""
    if document["phases"]:
        yield "what ksmd takes      ns a page    lowest   highest   by the prices below"
        for phase in document["phases"]:
            what = f"{phase['content']}, {phase['phase']}"
            figures = "  ".join(f"{phase[key]:8,.0f}" for key in ("ns_a_page", "lowest", "highest"))
            yield f"{what:20}  {figures}   {100 * phase['stated_over_measured']:15.0f} %"
        yield ""
    yield f"{'price of':20}        ns   ({document['made'] or 'built-in'})"
    for operation, price in document["prices_ns"].items():
        yield f"{operation:20}  {price:8,.3g}" if price < 1 else f"{operation:20}  {price:8,.0f}"
