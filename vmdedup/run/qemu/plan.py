"""A scenario's guests as real ones: what Ansible is to provision."""

from __future__ import annotations

from collections.abc import Sequence

from vmdedup.live.provision.plan import GuestPlan, RunPlan, check_workload, domain_name, free_ports
from vmdedup.scenario.model import GuestSection, Scenario
from vmdedup.scenario.plan import plan
from vmdedup.units import MIB, SECOND_NS

IMAGE = "debian"  # for groups that name none
# Keys of a group.
_EMULATED_ONLY = ("variant", "heap", "boot", "events", "free_pages", "aslr", "jitter", "free_page_reporting", "balloon")


def real_plan(scenario: Scenario, image: str | None = None, accelerator: str = "tcg") -> tuple[RunPlan, list[str]]:
    """The plan of a run with real guests, and notes on what of the scenario has no meaning for them.

    image: for all guests, instead of what each group's disk says. UsageError: a workload that only the emulator has.
    """
    names = [spec.name for spec in plan(scenario).specs]
    ports = free_ports(len(names))
    guests: list[GuestPlan] = []
    notes: list[str] = []
    for group in scenario.guests:
        notes += _notes(group)
        for _ in range(group.count):
            number = len(guests)
            guests.append(_guest(scenario, group, names[number], ports[number], image))
    run = RunPlan(
        name=scenario.name,
        seed=scenario.seed,
        guests=tuple(guests),
        tunables=scenario.ksm.all_tunables(),
        seconds=scenario.duration / SECOND_NS,
        interval=scenario.host.sample_interval / SECOND_NS,
        accelerator=accelerator,
        scenario=scenario.model_dump(mode="json", exclude_none=True),
    )
    return run, notes


def _guest(scenario: Scenario, group: GuestSection, name: str, port: int, image: str | None) -> GuestPlan:
    without = check_workload(name, group.workload, list(group.parameters))
    parameters = {key: str(value) for key, value in group.parameters.items() if key not in without}
    return GuestPlan(
        name=name,
        group=group.name,
        domain=domain_name(scenario.name, name),
        image=image or str(group.disk.get("image", IMAGE)),
        memory_mib=group.memory // MIB,
        workload=group.workload,
        parameters=parameters,
        port=port,
        sharing=group.mergeable,
    )


def _notes(group: GuestSection) -> Sequence[str]:
    """What of a group cannot be had with real guests."""
    without = check_workload(group.name, group.workload, list(group.parameters))
    without += [key for key in _EMULATED_ONLY if getattr(group, key)]
    if group.start == "one_after_another" or group.start_at:
        without.append("start")
    return [f"group {group.name!r}: without meaning for real guests: {', '.join(without)}"] if without else []
