"""What run.json says of a run from the start: what is run, with what, and on what."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import vmdedup
from vmdedup.policy.work import GUEST_PRICES_NS
from vmdedup.units import PAGE_SIZE

if TYPE_CHECKING:
    from vmdedup.run.pricing import Pricing
    from vmdedup.scenario.model import Scenario

_PACKAGES = ("numpy", "numba", "xxhash", "polars", "pydantic")


def about(scenario: Scenario, prices: Pricing) -> dict[str, Any]:
    """What does not depend on where the guests are; that says the backend itself."""
    return {
        "name": scenario.name,
        "seed": scenario.seed,
        "clock": scenario.clock,
        "page_size": PAGE_SIZE,
        "copy_ns": GUEST_PRICES_NS["cow_break"],
        "prices": prices.document(),
        "knobs": scenario.ksm.all_tunables(),
        "scenario": scenario.model_dump(mode="json", exclude_none=True),
    }


def versions() -> dict[str, str]:
    """Versions of this program, of Python, and of the packages that results depend on."""
    ours = {"vmdedup": vmdedup.__version__, "python": platform.python_version()}
    return ours | {package: _version(package) for package in _PACKAGES}


def machine() -> dict[str, Any]:
    """The machine: kernel, architecture, cores that we may use, memory in bytes."""
    return {
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
