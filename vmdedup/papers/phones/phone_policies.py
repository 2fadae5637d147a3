"""Every policy for phones on the program's own phone scenarios: what it saves, by how much work, at each scan rate."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Final

from vmdedup.papers.bench.base import Bench, Curve, Experiment, Finding
from vmdedup.papers.bench.verdict import Row
from vmdedup.papers.phones.trial import Outcome, Phone, trial
from vmdedup.result.published import Published
from vmdedup.scenario.load import find_source

OURS: Final = "background"
OTHERS: Final = ("ksm", "uksm", "exclusion", "n_chance", "group_limited", "similar_page", "zram")
SCENARIOS: Final = {"phone-day": 64, "phone-short": 32}  # MiB: half of what they have, to be done in time
RATES: Final = (10, 50, 500)  # pages every 20 ms
MIDDLE: Final = RATES[1]
DAY: Final = "phone-day"
SHARES: Final = (0.001, 0.005)  # of one core
# Like with like: what sharing alone, differences and compression save, each against those that do the same.
DIFFERENCES: Final = {"compress_cut_off": 0}
COMPRESSING: Final = {"difference_cut_off": 0}
SHARING: Final = DIFFERENCES | COMPRESSING
ALIGNED: Final = {"difference": 2}
LZO: Final = {"codec": 2}


def phone_policies(bench: Bench, published: Published) -> Finding:
    """All policies at each rate, at equal CPU, and ours like with like."""
    rows: list[Row] = []
    best: dict[str, tuple[str, str]] = {}
    curves: list[Curve] = []
    for name in SCENARIOS:
        if bench.quick and name == DAY:
            continue
        found = {rate: _all(bench, name, rate) for rate in ((MIDDLE,) if bench.quick else RATES)}
        for rate, outcomes in found.items():
            rows += _against_all(f"{name}, {rate} pages", outcomes)
            best[f"{name}, {rate} pages"] = _best(outcomes)
        curves += [_curve(name, policy, found) for policy in (OURS, *OTHERS)]
    if not bench.quick:
        rows += [row for share in SHARES for row in _equal_cpu(bench, share)]
        rows += _like_with_like(bench)
    named = "; ".join(f"{where}: {most} saves most, {least} for least" for where, (most, least) in best.items())
    note = (
        "Ours divided by the best of the others: saved on average over time, and work for each MiB of that. Of the "
        f"others, {named}. Apps that are started and killed are the same under all policies, since the phone counts as "
        "if nothing were saved. The curves go from one rate to the next."
    )
    return Finding(rows, note, ("CPU, ms", "saved on average, MiB"), curves, log="x")


def _all(bench: Bench, name: str, rate: int, share: float = 0) -> dict[str, Outcome]:
    """Every policy's outcome on a scenario."""
    return {policy: _outcome(bench, name, rate, policy, share=share) for policy in (*OTHERS, OURS)}


def _outcome(
    bench: Bench, name: str, rate: int, policy: str, knobs: Mapping[str, int] | None = None, share: float = 0
) -> Outcome:
    bench.say(f"{name}: {policy}, " + (f"{share:.1%} of a core" if share else f"{rate} pages"))
    parameters = tomllib.loads(find_source(name).text)["guests"][0]["parameters"]
    phone = Phone(SCENARIOS[name], 6 if bench.quick else 45, parameters, seed=bench.seed)
    return trial(phone, policy, rate, knobs, share)


def _against_all(where: str, outcomes: Mapping[str, Outcome]) -> list[Row]:
    """Ours against the best of the others: the most saved, and the least work a MiB."""
    ours = outcomes[OURS]
    most, least = _best(outcomes)
    saved, price = ours.saved / outcomes[most].saved, ours.price / outcomes[least].price
    work = ours.work / outcomes[most].work
    return [
        Row(f"{where}: saved, to the best other", "×", None, saved, "saves most", saved > 1, own=True),
        Row(f"{where}: work a MiB, to the least other", "×", None, price, "saves most per work", price < 1, own=True),
        Row(f"{where}: work, to the other that saves most", "×", None, work, "works least", work < 1, own=True),
    ]


def _best(outcomes: Mapping[str, Outcome]) -> tuple[str, str]:
    """Of the others, who saves most, and who for the least work a MiB."""
    return max(OTHERS, key=lambda name: outcomes[name].saved), min(OTHERS, key=lambda name: outcomes[name].price)


def _equal_cpu(bench: Bench, share: float) -> list[Row]:
    """All have the same share of a core, by one price list."""
    outcomes = _all(bench, DAY, MIDDLE, share)
    return _against_all(f"{DAY}, {share:.1%} of a core", outcomes)[:1]


def _like_with_like(bench: Bench) -> list[Row]:
    """Ours with only the means that another has, at one rate."""
    pairs: tuple[tuple[str, str, dict[str, int], dict[str, int]], ...] = (
        ("sharing only", "n_chance", SHARING, {}),
        ("differences of words", "similar_page", DIFFERENCES, ALIGNED),
        ("compression only", "zram", COMPRESSING, {}),
        ("compression only, both by LZO", "zram", COMPRESSING, LZO),
    )
    rows = []
    for label, other, mine, theirs in pairs:
        ours = _outcome(bench, DAY, MIDDLE, OURS, mine)
        against = _outcome(bench, DAY, MIDDLE, other, theirs)
        saved, price = ours.saved / against.saved, ours.price / against.price
        rows += [
            Row(f"{label}: saved, to {other}", "×", None, saved, "saves most", saved > 1, own=True),
            Row(f"{label}: work a MiB, to {other}", "×", None, price, "saves most per work", price < 1, own=True),
        ]
    return rows


def _curve(name: str, policy: str, found: Mapping[int, Mapping[str, Outcome]]) -> Curve:
    points = sorted((outcomes[policy].work, outcomes[policy].saved) for outcomes in found.values())
    return Curve(policy, [work for work, _ in points], [saved for _, saved in points], name)


EXPERIMENTS = (
    Experiment(
        "phone-policies",
        "Phones: our policy against the literature's at each rate",
        "phones",
        "45 s of the program's own scenarios phone-day and phone-short, with half of their memory, under each policy "
        "for phones, KSM and UKSM, at 10, 50 and 500 pages every 20 ms, and at equal CPU. No paper's figure is "
        "compared. Fair in that all see the same stores and pay by one price list, which is a model; less so in that "
        "our policy was made on these scenarios. How the abstracts' policies work in detail, where they do not say, "
        "is ours too.",
        phone_policies,
    ),
)
