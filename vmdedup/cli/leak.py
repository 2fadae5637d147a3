"""vmdedup leak: what a guest learns of another from the time of its own writes and reads, under each policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vmdedup.cli.say import Progress, say, say_document

if TYPE_CHECKING:
    from vmdedup.policy.leak.attack import Leak

HELP = """What can a guest learn of another from the time of its own writes?

An attacker fills pages with guesses of what a victim has, half of them right. Once the policy has had time to merge, it
writes to each, and reads as many others: a slow access was to a merged page. Times are of first accesses, in µs, to
pages that were merged and to idle ones of its own. All are modelled, and virtual; nothing is measured here.

\b
  vmdedup leak
  vmdedup leak --policy ksm,esx,ksm_domains --memory 128M
  vmdedup leak --policy esx,vusion --policy-set esx.salting=1 --policy-set vusion.idle_rounds=2
  vmdedup leak --policy ksm --noise 20us --json
"""

SCHEMA_VERSION = 1
_PAGE = 4096
_DEFAULT = "ksm,ksm_domains,zero_only,vusion"
_COLUMNS = ("policy", "AUC", "right found", "wrong taken", "merged", "s to merge", "s waited", "bytes/hour")
_TIMES = ("policy", "write merged", "write private", "read merged", "read private", "AUC of reads", "copies")


def leak(
    policy: Annotated[str, typer.Option(help="Names from `vmdedup policy list`, or FILE.py, with commas.")] = _DEFAULT,
    memory: Annotated[str, typer.Option(help="Memory of each of the two guests.")] = "32M",
    guesses: Annotated[int, typer.Option(help="Right guesses, and as many wrong ones.")] = 256,
    noise: Annotated[str, typer.Option(help="Standard deviation of the time of a write.")] = "100ns",
    policy_set: Annotated[
        list[str] | None, typer.Option("--policy-set", metavar="NAME.KNOB=VALUE", help="A policy's tunable; again.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of contents, noise, and the policy's choices.")] = 1,
    together: Annotated[bool, typer.Option("--together", help="Attacker and victim are of one domain.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead.")] = False,
) -> int:
    """Returns the exit status."""
    from dataclasses import asdict

    from vmdedup.cli.several import knobs_by_policy, split_policies
    from vmdedup.policy.leak.attack import Attack
    from vmdedup.policy.leak.meter import measure_leak
    from vmdedup.units import parse_duration, parse_size

    attack = Attack(parse_size(memory) // _PAGE, guesses, parse_duration(noise), seed, together)
    names = split_policies(policy)
    knobs = {name: _knobs(name, said) for name, said in knobs_by_policy(names, policy_set or ()).items()}
    found: list[Leak] = []
    progress = Progress()
    for name in names:
        progress.show(f"{name} ({len(found) + 1} of {len(names)})")
        found.append(measure_leak(name, attack, knobs[name]))
    progress.clear()
    if as_json:
        results = [asdict(each) for each in found]
        say_document({"schema_version": SCHEMA_VERSION, "attack": asdict(attack), "policies": results})
    else:
        _print_table(found)
    return 0


def _knobs(name: str, said: list[str]) -> dict[str, str]:
    """Tunables of a policy by name. UsageError: there is no such policy, or it has no such tunable."""
    from vmdedup.errors import UsageError
    from vmdedup.experiment.problems import suggest
    from vmdedup.policy.table import load_policy

    known, found = load_policy(name).all_tunables(), {}
    for each in said:
        knob, equals, value = each.partition("=")
        if not equals:
            raise UsageError(f"--policy-set {each}: write NAME.KNOB=VALUE")
        if knob not in known:
            raise UsageError(f"--policy-set {each}: unknown tunable of {name}; {suggest(knob, known)}")
        known[knob].parse(value)
        found[knob] = value
    return found


def _print_table(found: list[Leak]) -> None:
    _print_rows([_COLUMNS, *(_row(each) for each in found)])
    say()
    _print_rows([_TIMES, *(_times(each) for each in found)])


def _print_rows(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        say("  ".join(cells))


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


def _times(found: Leak) -> tuple[str, ...]:
    times = (found.right_ns, found.wrong_ns, found.read_right_ns, found.read_wrong_ns)
    return found.policy, *(f"{each / 1000:.3g}" for each in times), f"{found.read_auc:.3f}", str(found.copies)
