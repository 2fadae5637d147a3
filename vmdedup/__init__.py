"""What memory deduplication does to a host full of virtual machines, before and after you turn it on.

    import vmdedup

    host = vmdedup.Hypervisor(pages_to_scan=1000, seed=1)
    host.add(count=8, memory="128MiB", workload="boot")
    result = host.run("60s")
    print(result.summary["saved_mib"], result.series)
    print(vmdedup.explain("pages_sharing"))

    ours, theirs = vmdedup.run_scenario("mixed"), vmdedup.open_result("runs/yesterday")
    vmdedup.compare_results(ours, theirs)
    vmdedup.plot_savings(ours=ours, theirs=theirs)

Everything public is loaded on first use, so that `import vmdedup` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmdedup.api.comparing import compare_results, plot_savings
    from vmdedup.api.hypervisor import Hypervisor
    from vmdedup.api.meanings import explain, policy_names
    from vmdedup.api.memory import record_memory
    from vmdedup.api.scenarios import run_scenario
    from vmdedup.api.scripts import replay_script
    from vmdedup.dump.open import open_dump
    from vmdedup.errors import UsageError, VmdedupError
    from vmdedup.ksm.sysfs import Tunable
    from vmdedup.policy.base import Policy
    from vmdedup.result.opening import open_result, open_results
    from vmdedup.result.run import Result
    from vmdedup.scan.run import scan_dumps
    from vmdedup.scenario.load import load_scenario

__version__ = "0.1.0"

__all__ = [
    "Hypervisor",
    "Policy",
    "Result",
    "Tunable",
    "UsageError",
    "VmdedupError",
    "__version__",
    "compare_results",
    "explain",
    "load_scenario",
    "open_dump",
    "open_result",
    "open_results",
    "plot_savings",
    "policy_names",
    "record_memory",
    "replay_script",
    "run_scenario",
    "scan_dumps",
]

_HOMES = {
    "Hypervisor": "vmdedup.api.hypervisor",
    "Policy": "vmdedup.policy.base",
    "Result": "vmdedup.result.run",
    "Tunable": "vmdedup.ksm.sysfs",
    "UsageError": "vmdedup.errors",
    "VmdedupError": "vmdedup.errors",
    "compare_results": "vmdedup.api.comparing",
    "explain": "vmdedup.api.meanings",
    "load_scenario": "vmdedup.scenario.load",
    "open_dump": "vmdedup.dump.open",
    "open_result": "vmdedup.result.opening",
    "open_results": "vmdedup.result.opening",
    "plot_savings": "vmdedup.api.comparing",
    "policy_names": "vmdedup.api.meanings",
    "record_memory": "vmdedup.api.memory",
    "replay_script": "vmdedup.api.scripts",
    "run_scenario": "vmdedup.api.scenarios",
    "scan_dumps": "vmdedup.scan.run",
}


def __getattr__(name: str) -> object:
    """The public name, imported from its home on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'vmdedup' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """The public names, also those not yet loaded."""
    return sorted(__all__)
