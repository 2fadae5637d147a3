"""The experiments by name, in the order in which `vmdedup experiment list` shows them."""

from __future__ import annotations

from collections.abc import Sequence

from vmdedup.errors import UsageError
from vmdedup.experiment.literature import (
    ablations,
    advising,
    alike_guests,
    boot_hints,
    build_hints,
    clock_quality,
    equal_cpu,
    identical_guests,
    isolation,
    isolation_cost,
    leak,
    mixed2,
    mixed_memory,
    operation_costs,
    phone_policies,
    phones,
    reachable,
    self_sharing,
    skipping,
    techniques,
    web_hints,
    windows_guests,
)
from vmdedup.experiment.literature.base import Experiment
from vmdedup.experiment.problems import suggest

_PARTS = (
    mixed_memory,
    techniques,
    isolation,
    clock_quality,
    alike_guests,
    mixed2,
    ablations,
    operation_costs,
    identical_guests,
    build_hints,
    web_hints,
    reachable,
    boot_hints,
    equal_cpu,
    skipping,
    advising,
    windows_guests,
    self_sharing,
    phones,
    leak,
    isolation_cost,
    phone_policies,
)
EXPERIMENTS = {experiment.name: experiment for part in _PARTS for experiment in part.EXPERIMENTS}
ALL = "all"


def choose(names: Sequence[str]) -> list[Experiment]:
    """The experiments that are named; all of them if one name is "all". UsageError: there is no such one."""
    if ALL in names:
        return list(EXPERIMENTS.values())
    if unknown := [name for name in names if name not in EXPERIMENTS]:
        raise UsageError(f"no experiment {unknown[0]!r}; {suggest(unknown[0], EXPERIMENTS)}, or {ALL}")
    return [EXPERIMENTS[name] for name in dict.fromkeys(names)]
