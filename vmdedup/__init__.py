"""What memory deduplication does to a host full of virtual machines, before and after you turn it on.

    import vmdedup

    host = vmdedup.Hypervisor(pages_to_scan=1000, seed=1)
    host.add(count=8, memory="128MiB", workload="boot")
    result = host.run("60s")
    print(result.summary["saved_mib"], result.series)

Everything public is loaded on first use, so that `import vmdedup` costs next to nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as typing's, whose import takes more memory than a small scan
if TYPE_CHECKING:
    from vmdedup.result.run import Result, open_result, open_results
    from vmdedup.run.hypervisor import Hypervisor
    from vmdedup.scenario.load import load_scenario

__version__ = "0.1.0"

__all__ = ["Hypervisor", "Result", "__version__", "load_scenario", "open_result", "open_results"]

_HOMES = {
    "Hypervisor": "vmdedup.run.hypervisor",
    "Result": "vmdedup.result.run",
    "load_scenario": "vmdedup.scenario.load",
    "open_result": "vmdedup.result.run",
    "open_results": "vmdedup.result.run",
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
