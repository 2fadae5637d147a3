"""vmdedup leak: what a guest learns of another from the time of its own writes, under each policy."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from vmdedup.policy.leak.meter import Leak

HELP = """What can a guest learn of another from the time of its own writes?

An attacker fills pages with guesses of what a victim has, half of them right. Once the policy has had time to merge, it
writes to each: a slow write was to a merged page. All times are modelled, and virtual; nothing is measured here.

\b
  vmdedup leak
  vmdedup leak --policy ksm,esx,ksm_domains --memory 128M
  vmdedup leak --policy ksm --noise 20us --json
"""

SCHEMA_VERSION = 1
_PAGE = 4096
_DEFAULT = "ksm,ksm_domains,zero_only"
_COLUMNS = ("policy", "AUC", "right found", "wrong taken", "merged", "s to merge", "s waited", "bytes/hour")


def leak(
    policy: Annotated[str, typer.Option(help="Names from `vmdedup policy list`, or FILE.py, with commas.")] = _DEFAULT,
    memory: Annotated[str, typer.Option(help="Memory of each of the two guests.")] = "32M",
    guesses: Annotated[int, typer.Option(help="Right guesses, and as many wrong ones.")] = 256,
    noise: Annotated[str, typer.Option(help="Standard deviation of the time of a write.")] = "100ns",
    seed: Annotated[int, typer.Option(help="Of contents, noise, and the policy's choices.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead.")] = False,
) -> int:
    """Returns the exit status."""
    from dataclasses import asdict

    from vmdedup.policy.leak.meter import Attack, measure_leak
    from vmdedup.policy.table import load_policy
    from vmdedup.report.document import render
    from vmdedup.units import parse_duration, parse_size

    attack = Attack(parse_size(memory) // _PAGE, guesses, parse_duration(noise), seed)
    names = [name.strip() for name in policy.split(",")]
    for name in names:
        load_policy(name)  # all are known before the first is tried
    found: list[Leak] = []
    for name in names:
        _say(name, len(found), len(names))
        found.append(measure_leak(name, attack))
    _say("", 0, 0)
    if as_json:
        results = [asdict(each) for each in found]
        typer.echo(render({"schema_version": SCHEMA_VERSION, "attack": asdict(attack), "policies": results}))
    else:
        _print_table(found)
    return 0


def _say(name: str, done: int, count: int) -> None:
    """Progress, on a terminal only: which policy is being tried."""
    if sys.stderr.isatty():
        text = f"{name} ({done + 1} of {count})" if name else ""
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _print_table(found: list[Leak]) -> None:
    rows = [_COLUMNS, *(_row(each) for each in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        typer.echo("  ".join(cells))


def _row(found: Leak) -> tuple[str, ...]:
    return (
        found.policy,
        f"{found.auc:.3f}",
        f"{found.true_positives:.1%}",
        f"{found.false_positives:.1%}",
        str(found.merged),
        "-" if found.seconds_to_merge is None else f"{found.seconds_to_merge:.1f}",
        f"{found.waited:.1f}",
        f"{found.bytes_per_hour:.1f}",
    )
