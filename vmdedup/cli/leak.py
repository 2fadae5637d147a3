"""vmdedup leak: what a guest learns of another under each policy, by four channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vmdedup.cli.say import Progress, say, say_document

if TYPE_CHECKING:
    from vmdedup.leak.attack import Leak

HELP = """What can a guest learn of another: by the time of its accesses, by room left, by pace of merging?

An attacker fills pages with guesses of what a victim has, half of them right. Once the policy has had time to merge, it
writes to each, and reads as many others: a slow access was to a merged page. Times are of first accesses, in µs, to
pages that were merged and to idle ones of its own. All are modelled, and virtual; nothing is measured here.

Room left: the attacker plants guesses, waits, and counts how many pages more fit before the host refuses: more if more
guesses are right. Pace of merging: it waits until two equal pages of its own are merged: the longer, the more memory
the victim has. Both are tried --trials times on guests of at most 8 MiB, each time with a secret drawn anew and seed
1 more; nobody else is on the host.

For each channel: AUC, of two secrets how often the attacker says rightly which is the larger (0.5 is a coin's toss: it
learns nothing; 1: everything); and bits, what one attempt tells, 0 where chance alone shows as much in one of a
thousand times. Under the tables is what the other words mean.

--json: one document. Of "policies" each has the figures of writes and reads, times in ns; and "channels", room and
pace: secret_unit and seen_unit (of what is secret, and of what is seen), auc, chance (how often chance shows as much),
bits of bits_possible, error (root mean square of what guesses are off, in secret_unit), seen_per_secret (slope), and
secrets, seen, guessed of each trial. Where nothing is told, error, seen_per_secret and guessed are null.

\b
  vmdedup leak
  vmdedup leak --policy ksm,esx,ksm_domains --memory 128M
  vmdedup leak --policy esx,vusion --policy-set esx.salting=1 --policy-set vusion.idle_rounds=2
  vmdedup leak --policy ksm --noise 20us --json
"""

SCHEMA_VERSION = 2
_DEFAULT = "ksm,ksm_domains,zero_only,vusion"


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
    trials: Annotated[int, typer.Option(help="How often room left and pace of merging are tried each.")] = 16,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead.")] = False,
) -> int:
    """Returns the exit status."""
    from dataclasses import asdict

    from vmdedup.cli.leaked import render
    from vmdedup.cli.several import knobs_by_policy, split_policies
    from vmdedup.leak.attack import Attack
    from vmdedup.leak.meter import measure_leak
    from vmdedup.units import PAGE_SIZE, parse_duration, parse_size

    attack = Attack(parse_size(memory) // PAGE_SIZE, guesses, parse_duration(noise), seed, together, trials)
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
        say(render(found))
    return 0


def _knobs(name: str, said: list[str]) -> dict[str, str]:
    """Tunables of a policy by name. UsageError: there is no such policy, or it has no such tunable."""
    from vmdedup.errors import UsageError
    from vmdedup.policy.table import load_policy
    from vmdedup.shown import suggest

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
