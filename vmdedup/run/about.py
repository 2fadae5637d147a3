"""What run.json says of a run from the start."""

from __future__ import annotations

from typing import Any

from vmdedup.policy.work import GUEST_PRICES_NS
from vmdedup.run.pricing import Pricing
from vmdedup.scenario.model import Scenario
from vmdedup.units import PAGE_SIZE


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
