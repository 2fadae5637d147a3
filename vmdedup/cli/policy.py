"""vmdedup policy list | show | check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vmdedup.cli.say import say, say_document

if TYPE_CHECKING:
    from vmdedup.policy.base import Policy

app = typer.Typer(
    help="Policies: who scans memory, and how. For --policy of `vmdedup run`.\n\n\b\n"
    "  vmdedup policy list\n"
    "  vmdedup policy show ksm --json\n"
    "  vmdedup policy check mine.py",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_NAME = Annotated[str, typer.Argument(metavar="NAME", help="A name from the list, or FILE.py[:CLASS].")]
_JSON = Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead.")]
SCHEMA_VERSION = 1


@app.command("list")
def list_policies(as_json: _JSON = False) -> None:
    """Every policy that comes with the program, with where it is from.

    \b
      vmdedup policy list
    """
    from vmdedup.policy.table import POLICIES, load_policy

    found = [_described(load_policy(name)) for name in sorted(POLICIES)]
    if as_json:
        _print({"policies": found})
        return
    width = max(len(policy["name"]) for policy in found)
    for policy in found:
        bound = " A bound, no policy: what it costs means nothing." if policy["is_bound"] else ""
        say(f"{policy['name']:<{width}}  {policy['meaning']} {policy['source']}.{bound}")


@app.command("show")
def show(name: _NAME, as_json: _JSON = False) -> None:
    """One policy: where it is from, and its tunables with default, unit and meaning.

    \b
      vmdedup policy show ksm
    """
    from vmdedup.policy.table import load_policy

    policy = _described(load_policy(name))
    if as_json:
        _print(policy)
        return
    say(f"{policy['name']}: {policy['meaning']}")
    say(f"Source: {policy['source']}.")
    if policy["leaks"]:
        say(f"Leaks: {policy['leaks']}")
    for tunable in policy["tunables"]:
        value = f"{tunable['default']} {tunable['unit']}".strip()
        say(f"  {tunable['name']:<34} {value:<14} {tunable['meaning']}")


@app.command("check")
def check(
    name: _NAME,
    seed: Annotated[int, typer.Option(help="Of what guests do.")] = 1,
    grade: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Points for the exercises there, instead: KSM scripts.")
    ] = None,
    as_json: _JSON = False,
) -> int:
    """Try a policy on a small host: does it keep to what every policy must? Exit status 1 if it does not.

    \b
      vmdedup policy check mine.py
      vmdedup policy check mine.py:Second --seed 7
      vmdedup policy check mine.py --grade exercises/
    """
    if grade is not None:
        return _grade(name, grade, as_json)
    from vmdedup.policy.table import load_policy, policy_label
    from vmdedup.policy.trial import try_policy

    verdicts = try_policy(load_policy(name), seed)
    failed = sum(verdict.failure is not None for verdict in verdicts)
    if as_json:
        rules = [{"rule": v.rule, "passed": v.failure is None, "failure": v.failure} for v in verdicts]
        _print({"policy": policy_label(name), "seed": seed, "passed": not failed, "rules": rules})
        return int(failed > 0)
    for verdict in verdicts:
        say(f"{'pass' if verdict.failure is None else 'FAIL'}  {verdict.rule}")
        if verdict.failure is not None:
            say(f"      {verdict.failure}")
    say(f"{policy_label(name)}: {'keeps to all of it' if not failed else f'{failed} of {len(verdicts)} failed'}")
    return int(failed > 0)


def _grade(name: str, folder: Path, as_json: bool) -> int:
    """Of exercises only names and points are shown: their scripts may be hidden. Returns 0, whatever it got."""
    from vmdedup.grading.exercise import exercises
    from vmdedup.grading.grade import grade
    from vmdedup.policy.table import load_policy, policy_label

    given = exercises(folder)
    grades = list(grade(load_policy(name), given))
    got, points = sum(each.got for each in grades), sum(exercise.points for exercise in given)
    if as_json:
        shown = [each.document() for each in grades]
        _print({"policy": policy_label(name), "got": got, "points": points, "exercises": shown})
        return 0
    for each in grades:
        say(f"{each.got:>4} of {each.exercise.points:<4} {each.exercise.name}")
        for text, worth, holds in each.rules:
            say(f"      {'yes' if holds else 'no ':<4}{text} ({worth})")
        if each.failure is not None:
            say(f"      {each.failure}")
    say(f"{policy_label(name)}: {got} of {points} points")
    return 0


def _described(policy: type[Policy]) -> dict[str, Any]:
    text = (policy.__doc__ or "").strip().splitlines()
    return {
        "name": policy.name,
        "meaning": text[0] if text else "",
        "source": policy.source.rstrip("."),
        "leaks": policy.leaks,
        "below_page": policy.below_page,
        "is_bound": policy.is_bound,
        "tunables": [
            {"name": t.name, "default": t.default, "unit": t.unit, "meaning": t.meaning}
            for t in policy.all_tunables().values()
        ],
    }


def _print(document: dict[str, Any]) -> None:
    say_document({"schema_version": SCHEMA_VERSION, **document})
