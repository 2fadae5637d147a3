"""The Python face of a run: a host with a ksmd, guests added one group after another, a Result."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from vmdedup.api.watching import ToLogging, watching
from vmdedup.errors import UsageError
from vmdedup.result.run import Result
from vmdedup.run.measure.rows import Watcher
from vmdedup.run.run import run_scenario
from vmdedup.scenario.checks import check
from vmdedup.scenario.images import with_images
from vmdedup.scenario.model import GuestSection, KsmSection, Scenario, validate
from vmdedup.scenario.problems import Path, Problem
from vmdedup.shown import suggest


class Hypervisor:
    """A host and its ksmd. Every keyword is a key of a scenario, in the same units.

    memory, tick, sample_interval, numa_nodes, huge_pages and khugepaged are keys of [host]; seed, clock and name are
    the scenario's own. policy is who scans in ksmd's place, or the whole [policy] section; budget, cpu and costs are
    keys of that.
    Every other is a key of [ksm]: a tunable by the kernel's name, or page_cost. ksmd runs unless run=0.
    """

    _HOST = ("memory", "tick", "sample_interval", "numa_nodes", "huge_pages", "khugepaged")
    _POLICY = ("budget", "cpu", "costs")
    _SCENARIO = ("seed", "clock", "name", "title")

    def __init__(self, **keys: Any) -> None:
        self._data: dict[str, Any] = {"host": {}, "ksm": {"run": 1}, "guests": []}
        for key, value in keys.items():
            if key == "policy":
                self._data.setdefault("policy", {}).update(value if isinstance(value, dict) else {"name": value})
            elif key in self._POLICY:
                self._data.setdefault("policy", {})[key] = value
            elif key in self._HOST:
                self._data["host"][key] = value
            elif key in self._SCENARIO:
                self._data[key] = value
            else:
                _require_key(key, ("ksm",), KsmSection.model_fields)
                self._data["ksm"][key] = value

    def add(self, count: int = 1, **keys: Any) -> Self:
        """Add a group of `count` alike guests; every keyword is a key of [[guests]]. Returns the hypervisor.

        name: of the group; default vm, vm2, … memory: of each guest, as "256MiB". workload: what it does, of
        `vmdedup scenario workloads`. parameters: of the workload, a dict, as {"fill_share": "50%"}. boot: of the boot
        before it. disk: what it reads, as {"path": "/usr"} or {"kind": "generated", "mib": 64}. image: a memory dump
        that it has from the start instead of a workload. model: of `vmdedup learn`, that it is made from. replay: a
        recording that it lives; guest: whose part of that; speed: recorded seconds in one of virtual time.

        variant: how its disk differs, as {"differs": "30%"}; variants: "shared" by the group, or each its "own".
        heap: what anonymous memory holds, a dict. free_pages, aslr, jitter, kernel_mib: of its kernel
        (guest.spec.GuestSpec). free_page_reporting: whether it gives free memory back by itself; balloon: a dict, as
        {"target_mib": 64}. huge_pages: whether it asks for them. mergeable: False keeps KSM away. domain: whom it
        trusts, for policies that share within a domain only. node: NUMA node, or "spread".

        start: "together" or "one_after_another", delay apart; start_at: when the first starts. events: a list of
        {"at": "30s", "do": "pause" or "resume" or "reboot" or "leave", "guests": [0, 2]}.
        `vmdedup scenario show identical` has an example of each. UsageError: there is no such key; that a value
        cannot be meant is told by scenario() and run().
        """
        for key in keys:
            _require_key(key, ("guests", len(self._data["guests"])), GuestSection.model_fields)
        name = "vm" if not self._data["guests"] else f"vm{len(self._data['guests']) + 1}"
        self._data["guests"].append({"name": name, "count": count, **keys})
        return self

    def scenario(self, duration: str = "60s") -> Scenario:
        """What would be run. Raises UsageError with the key and the remedy."""
        scenario, problems = validate({"name": "notebook", **self._data, "duration": duration})
        if scenario is not None:
            problems = check(scenario)
        if scenario is not None and not problems:
            scenario, problems = with_images(scenario, None)
        if scenario is None or problems:
            raise UsageError(f"{problems[0].key}: {problems[0].text}")
        return scenario

    def run(
        self, duration: str = "60s", watcher: Watcher | None = None, on: str = "emulator", progress: bool = False
    ) -> Result:
        """Run it for so long. The same guests, keys and seed give the same result (lockstep).

        watcher: sees every sample and event. on: "emulator", or "kernel", this machine's own KSM (as root).
        progress: the latest row is shown meanwhile, on a terminal or in a notebook. Warnings go to the logger
        "vmdedup.run".
        """
        scenario = self.scenario(duration)
        with watching(scenario, progress and watcher is None) as shown:
            return run_scenario(scenario, watcher or shown, ToLogging(), backend=on)

    def __repr__(self) -> str:
        groups = [f"{group['count']} × {group.get('workload', 'idle')}" for group in self._data["guests"]]
        said = {name: value for name, value in self._data["ksm"].items() if name != "run"}
        who = self._data.get("policy", {}).get("name", "ksm")
        tunables = "".join(f", {name}={value}" for name, value in said.items())
        return f"<Hypervisor: {', '.join(groups) or 'no guests yet'}; {who}{tunables}>"


def _require_key(key: str, path: Path, known: Iterable[str]) -> None:
    """At once, not when it is run: a word in the wrong place is remembered then."""
    if key not in known:
        problem = Problem((*path, key), f"unknown key; {suggest(key, known)}")
        raise UsageError(f"{problem.key}: {problem.text}")
