"""The experiments by name, in the order in which `vmdedup experiment list` shows them."""

from __future__ import annotations

from collections.abc import Sequence

from vmdedup.errors import UsageError
from vmdedup.papers.bench.base import Experiment
from vmdedup.papers.difference_engine import (
    de_ablations,
    de_alike,
    de_clock,
    de_costs,
    de_isolation,
    de_mixed2,
    de_table1,
    de_techniques,
)
from vmdedup.papers.esx import esx_identical
from vmdedup.papers.isolation import isolation_cost, leak
from vmdedup.papers.ksm import advisor, barker, ksm_windows, smart_scan
from vmdedup.papers.phones import phone_policies, phones
from vmdedup.papers.placement import buddies, pagination, trees
from vmdedup.papers.uksm import uksm_equal_cpu
from vmdedup.papers.xlh import xlh_apache, xlh_boot, xlh_build, xlh_reachable
from vmdedup.shown import suggest

_PARTS = (
    de_table1,
    de_techniques,
    de_isolation,
    de_clock,
    de_alike,
    de_mixed2,
    de_ablations,
    de_costs,
    esx_identical,
    xlh_build,
    xlh_apache,
    xlh_reachable,
    xlh_boot,
    uksm_equal_cpu,
    smart_scan,
    advisor,
    ksm_windows,
    barker,
    phones,
    leak,
    isolation_cost,
    phone_policies,
    buddies,
    trees,
    pagination,
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
