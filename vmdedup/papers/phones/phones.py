"""Phones: what their memory holds (MemScope), similar pages (Sparrow), chances (ISCE 2014), exclusion (ICCE 2014)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from vmdedup.guest.diskspec import DiskSpec
from vmdedup.papers.bench.base import PAPER, Bench, Curve, Experiment, Finding
from vmdedup.papers.bench.verdict import Row
from vmdedup.papers.phones.memory import phone_shares
from vmdedup.papers.phones.trial import BATCHES, Outcome, Phone, trial
from vmdedup.policy.work import PRICES_NS
from vmdedup.result.published import Level, Published

MIB: Final = 48
DISK_MIB: Final = 24
PAGES: Final = 100  # every 20 ms: all of memory in 2.5 s
USED: Final = {"switch_s": 3.0}
LEFT: Final = {"switch_s": 1000.0}  # one app is started, and then nobody touches the phone
SIMILAR: Final = (0.1, 0.2, 0.3, 0.4)  # shares of similar pages; the literature's range, and below
DEFAULT_SIMILAR: Final = 0.3
GRID: Final = tuple((chances, rest) for chances in (1, 3) for rest in (8, 32, 100))
RATES: Final = (25, 50, 100)  # of exclusion
ENOUGH: Final = 0.95  # of the saving without exclusion
# The literature's KSM: without smart scan, which came later, and on anonymous memory, which is all that it merges.
PLAIN: Final = {"smart_scan": 0}
WORDS: Final = {"difference": 2}  # nothing but what is similar in place is found
ANONYMOUS: Final = {"exclude_graphics": 0, "exclude_foreground": 0, "fresh_millisecs": 0}


@dataclass(frozen=True)
class Runs:
    """Runs of one phone."""

    bench: Bench

    def run(
        self, policy: str, knobs: Mapping[str, int] | None = None, phone: Mapping[str, Any] = USED, pages: int = PAGES
    ) -> Outcome:
        """A phone under a policy."""
        self.bench.say(f"phone: {policy}")
        return trial(_phone(self.bench, phone), policy, pages, knobs)


def _phone(bench: Bench, parameters: Mapping[str, Any]) -> Phone:
    return Phone(MIB, 10 if bench.quick else 30, parameters, DISK_MIB, bench.seed)


def phones(bench: Bench, published: Published) -> Finding:
    """What apps and services hold, and what each proposal for phones saves of memory or of work."""
    runs, levels = Runs(bench), published.levels
    everything = runs.run("similar_page", {"difference_cut_off": 0})
    similar = _with_similar(runs)
    default = similar[DEFAULT_SIMILAR]
    more = {share: 100 * (run.saved / everything.saved - 1) for share, run in similar.items()}
    level = levels["similar_more_percent"]
    chances, about_chances = _chances(runs, levels["chances_less_percent"])
    exclusion, about_exclusion = _exclusion(runs)
    rows = [
        *_held(bench, levels),
        Row("similar pages save more", "%", level, more[DEFAULT_SIMILAR], "more", more[DEFAULT_SIMILAR] > 0),
        *_copies(runs, everything),
        *_groups(runs, everything),
        *chances,
        *exclusion,
    ]
    shares = ", ".join(f"{100 * share:g} %: {value:.0f} %" for share, value in more.items())
    note = (
        f"How much more similar pages save goes with how many of heaps' pages are similar: {shares}. The paper's share "
        f"is not known, nor how it makes differences; here words in the same place are compared. {about_chances} "
        f"{about_exclusion}"
    )
    lines = {"equal pages": everything, "and similar ones": default}
    curves = [Curve(name, run.times, run.series) for name, run in lines.items()]
    as_much_more = [(1 + level.value / 100) * saved for saved in everything.series]
    curves.append(Curve("and similar ones", everything.times, as_much_more, kind=PAPER))
    return Finding(rows, note, ("time, s", "saved, MiB"), curves)


def _held(bench: Bench, levels: Mapping[str, Level]) -> list[Row]:
    """Shares of identical and similar pages by exact hashing, in the midst of use."""
    found = phone_shares(MIB, 10 if bench.quick else 30, DiskSpec(kind="generated", mib=DISK_MIB), USED, bench.seed)
    apps, services = levels["identical_apps_percent"], levels["identical_services_percent"]
    order = "apps more than services"
    holds = found.identical > found.services
    return [
        Row("identical pages of apps", "%", apps, found.identical, order, holds, put_in=True),
        Row("identical pages of services", "%", services, found.services, order, holds, put_in=True),
        Row("similar pages of apps", "%", None, found.similar),
    ]


def _with_similar(runs: Runs) -> dict[float, Outcome]:
    shares = (DEFAULT_SIMILAR,) if runs.bench.quick else SIMILAR
    return {share: runs.run("similar_page", WORDS, USED | {"similar": share}) for share in shares}


def _copies(runs: Runs, everything: Outcome) -> list[Row]:
    """Differences that find copies within a page, too: they pack pages that are like no other."""
    found = {share: runs.run("similar_page", phone=USED | {"similar": share}) for share in (DEFAULT_SIMILAR, 0.0)}
    more = {share: 100 * (run.saved / everything.saved - 1) for share, run in found.items()}
    return [
        Row("if differences find copies, too", "%", None, more[DEFAULT_SIMILAR], "more", more[DEFAULT_SIMILAR] > 0),
        Row("the same, but no page is similar", "%", None, more[0.0]),
    ]


def _groups(runs: Runs, everything: Outcome) -> list[Row]:
    """Groups by kind of area against one group for all."""
    grouped = runs.run("group_limited")
    kept = 100 * grouped.saved / everything.saved
    return [Row("groups: of the saving without them", "%", None, kept, "nearly all", kept > 100 * ENOUGH, own=True)]


def _chances(runs: Runs, paper: Level) -> tuple[list[Row], str]:
    """Work that chances spare on a phone that is left alone: the most of a grid of settings, and the mean."""
    grid = GRID[:1] if runs.bench.quick else GRID
    whole = runs.run("ksm", PLAIN, LEFT)
    less = []
    for chances, rest in grid:
        some = runs.run("n_chance", {"chances": chances, "rest_rounds": rest}, LEFT)
        less.append(100 * (1 - some.work / whole.work))
    saved = 100 * runs.run("n_chance").saved / runs.run("ksm", PLAIN).saved
    looks = len(whole.series) * BATCHES * PAGES
    visit = 100 * looks * PRICES_NS["visit"] / (whole.work * 1e6)
    about = (
        f"A page that is skipped costs a visit, {visit:.0f} % of what KSM's look at a page costs here, so chances "
        f"cannot save more than {100 - visit:.0f} %."
    )
    return [
        Row("chances: less work, at most", "%", paper, max(less), "less", max(less) > 0),
        Row("chances: less work, mean of settings", "%", None, sum(less) / len(less), "less", min(less) > 0),
        Row("chances: of KSM's saving, in use", "%", None, saved),
    ], about


def _exclusion(runs: Runs) -> tuple[list[Row], str]:
    """The least work by which exclusion saves as much as scanning all anonymous memory."""
    whole = runs.run("exclusion", ANONYMOUS)
    found = [runs.run("exclusion", pages=rate) for rate in (RATES[-1:] if runs.bench.quick else RATES)]
    enough = [run for run in found if run.saved >= ENOUGH * whole.saved]
    best = min(enough, key=lambda run: run.work) if enough else max(found, key=lambda run: run.saved)
    saved, work = 100 * best.saved / whole.saved, 100 * best.work / whole.work
    slow = runs.run("exclusion", pages=PAGES // 2), runs.run("exclusion", ANONYMOUS, pages=PAGES // 2)
    parts = [100 * half.saved / full.saved for half, full in zip(slow, (found[-1], whole), strict=True)]
    about = (
        "Exclusion leaves out the app in front, a large part of so small a phone. At half the rate it saves "
        f"{parts[0]:.0f} % of what it does at all of it, and scanning everything {parts[1]:.0f} %."
    )
    return [
        Row("exclusion: of KSM's saving", "%", None, saved, "as much", bool(enough)),
        Row("exclusion: of KSM's work for that", "%", None, work, "less", bool(enough) and work < 100),
    ], about


EXPERIMENTS = (
    Experiment(
        "phones",
        "Phones: identical and similar pages, chances, exclusion",
        "phones",
        "One emulated phone of 48 MiB whose apps fork from one zygote and change every 3 s, in place of real phones; "
        "for chances one that nobody touches; scan work by one price list in place of power. KSM stands without smart "
        "scan, and for exclusion by scanning all anonymous memory. Fair as to which pages a policy looks at. The share "
        "of identical pages was put in as MemScope has it and is measured again by hashing; the share of similar ones "
        ""
        f"is a guess, {100 * DEFAULT_SIMILAR:g} % of heaps, and what they save follows from it.",
        phones,
    ),
)
