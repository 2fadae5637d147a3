"""Golden runs: every built-in scenario, workload and policy in small, in lockstep, with the same rows everywhere.

    python tests/golden_runs.py             run them all, and say what is not as recorded
    python tests/golden_runs.py --renew     the same, and record what they give now
    python tests/golden_runs.py NAME …      only these
    python tests/golden_runs.py --together 3    three guests a process: it must make no difference
    python tests/golden_runs.py --fingerprints  pages that stand for contents: what is other in the last row

tests/golden_runs.json has for each the digests of its tables, so that a change anywhere is seen, and its last row, so
that one can be read.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from vmdedup.errors import InvariantError, UsageError
from vmdedup.guest.workloads import WORKLOADS
from vmdedup.policy.table import POLICIES
from vmdedup.result.run import Result
from vmdedup.run.measure.rows import Silent
from vmdedup.run.run import COMPLETE, run_scenario
from vmdedup.scenario.checks import check
from vmdedup.scenario.load import builtin_names, find_source
from vmdedup.scenario.model import Scenario, validate
from vmdedup.units import KIB, exact_duration, parse_duration, parse_size

RECORD: Final = Path(__file__).parent / "golden_runs.json"
TABLES: Final = ("series", "guests", "matrix")
DISK: Final = {"kind": "generated", "mib": 16}
MEMORY: Final = "16MiB"
MOST_GUESTS, MOST_SECONDS = 3, 6.0
Data = dict[str, Any]


def small_scenario(name: str) -> Data:
    """A built-in scenario with few small guests on a generated disk, its times in the same proportions."""
    data = tomllib.loads(find_source(name).text)
    factor = min(1.0, MOST_SECONDS / (parse_duration(data["duration"]) / 1e9))
    data["duration"] = _shorter(data["duration"], factor)
    if "memory" in data.get("host", {}):
        _shrink_host(data)
    if "advisor_mode" not in data["ksm"]:
        data["ksm"]["pages_to_scan"] = 500
    for group in data["guests"]:
        group["count"] = min(group.get("count", 1), MOST_GUESTS)
        group["memory"] = MEMORY
        group["disk"] = DISK
        if "fill_share" in group.get("parameters", {}):
            group["parameters"]["fill_share"] = 0.5  # a small guest's kernel takes more of it
        for key in ("delay", "start_at"):
            if key in group:
                group[key] = _shorter(group[key], factor)
        for event in group.get("events", []):
            event["at"] = _shorter(event["at"], factor)
    return data


def _shrink_host(data: Data) -> None:
    """Host memory and swap in proportion to what its guests will use, which in so little time is two thirds of it."""
    groups = data["guests"]
    had = sum(group["count"] * parse_size(group["memory"]) for group in groups)
    has = sum(min(group["count"], MOST_GUESTS) for group in groups) * parse_size(MEMORY) * 2 // 3
    data["host"]["memory"] = f"{parse_size(data['host']['memory']) * has // had // KIB}KiB"
    swap = data["host"]["swap"]
    swap["size"] = f"{parse_size(swap['size']) * has // had // KIB}KiB"


def of_workload(name: str) -> Data:
    """Two guests that do it."""
    return _two(name)


def of_policy(name: str) -> Data:
    """Two guests that compile, whose memory changes, under a policy with a budget of pages."""
    return _two("compile") | {"policy": {"name": name, "budget": "pages"}}


def _two(workload: str) -> Data:
    guests = {"name": "vm", "count": 2, "memory": "16MiB", "workload": workload, "disk": DISK}
    return {"duration": "4s", "ksm": {"run": 1, "pages_to_scan": 500, "use_zero_pages": 1}, "guests": [guests]}


def _shorter(duration: str, factor: float) -> str:
    return exact_duration(round(parse_duration(duration) * factor / 1e8) * 10**8)


KINDS: Final[Mapping[str, tuple[Callable[[str], Data], Callable[[], list[str]]]]] = {
    "scenario": (small_scenario, builtin_names),
    "workload": (of_workload, lambda: sorted(WORKLOADS)),
    "policy": (of_policy, lambda: list(POLICIES)),
}


def names() -> list[str]:
    """Every golden run, as kind/name."""
    return [f"{kind}/{name}" for kind, (_, every) in KINDS.items() for name in every()]


def scenario_of(name: str) -> Scenario:
    """What a golden run runs."""
    kind, _, which = name.partition("/")
    data = KINDS[kind][0](which)
    scenario, problems = validate({"name": name.replace("/", "-"), **data})
    if scenario is not None:
        problems = check(scenario)
    if scenario is None or problems:
        raise UsageError(f"{name}: {problems[0].key}: {problems[0].text}")
    return scenario


def outcome(name: str, **host: Any) -> Data:
    """Run it. host: keys of [host] that are other. Returns digests of its tables and events, and the last row."""
    scenario = scenario_of(name)
    scenario = scenario.model_copy(update={"host": scenario.host.model_copy(update=host)})
    result = run_scenario(scenario, Silent(), logging.NullHandler())
    if result.run["ended"] != COMPLETE:
        raise InvariantError(f"{name}: the run ended early: {result.run['ended']}")
    texts = {table: json.dumps(getattr(result, table).to_dicts(), sort_keys=True) for table in TABLES}
    texts["events"] = json.dumps(_events(result), sort_keys=True)
    digests = {table: hashlib.sha256(text.encode()).hexdigest()[:16] for table, text in texts.items()}
    return {"digests": digests, "last": result.series.row(-1, named=True)}


def _events(result: Result) -> list[Any]:
    """What happened in virtual time; that kernels compile is said of the machine."""
    return [event for event in result.run["events"] if "compiles" not in str(event)]


def recorded() -> dict[str, Data]:
    """What golden runs gave when they were recorded."""
    return dict(json.loads(RECORD.read_text())) if RECORD.exists() else {}


def differences(before: Data | None, now: Data) -> Iterator[str]:
    """What is not as it was, in words."""
    if before is None:
        yield "is new"
        return
    for column, value in now["last"].items():
        if before["last"].get(column) != value:
            yield f"last row, {column}: {before['last'].get(column)} → {value}"
    for column in before["last"].keys() - now["last"].keys():
        yield f"last row: no {column}"
    changed = [table for table, digest in now["digests"].items() if before["digests"].get(table) != digest]
    if changed:
        yield f"changed: {', '.join(changed)}"


def main() -> int:
    """Run what is asked for. Returns 1 if something is not as recorded and was not recorded anew."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of these runs only, as policy/uksm")
    parser.add_argument("--renew", action="store_true", help="record what they give now")
    parser.add_argument("--together", type=int, metavar="GUESTS", help="so many guests a process")
    parser.add_argument("--fingerprints", action="store_true", help="on pages that stand for contents")
    options = parser.parse_args()
    if unknown := set(options.names) - set(names()):
        parser.error(f"no golden run {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    host: Data = {"guests_per_worker": options.together} if options.together else {}
    host |= {"pages": "fingerprints"} if options.fingerprints else {}
    before = recorded()
    kept = {name: before[name] for name in names() if name in before}
    is_changed = len(kept) < len(before)
    for name in options.names or names():
        kept[name] = outcome(name, **host)
        for text in differences(before.get(name), kept[name]):
            is_changed = True
            print(f"{name}: {text}", flush=True)
    if options.renew:
        RECORD.write_text(json.dumps({name: kept[name] for name in names() if name in kept}, indent=1) + "\n")
    return int(is_changed and not options.renew)


if __name__ == "__main__":
    sys.exit(main())
