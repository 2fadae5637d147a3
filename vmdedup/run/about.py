"""What run.json says of a run from the start."""

from __future__ import annotations

from typing import Any

from vmdedup.policy.table import policy_label
from vmdedup.policy.work import GUEST_PRICES_NS
from vmdedup.run.pricing import Pricing
from vmdedup.run.room import HostRoom
from vmdedup.scenario.model import Scenario
from vmdedup.scenario.policy import policy_kind
from vmdedup.units import PAGE_SIZE


def about(scenario: Scenario, backend: str, prices: Pricing, room: HostRoom | None) -> dict[str, Any]:
    """backend: its name. room: what the host got, if it is emulated."""
    return {
        "name": scenario.name,
        "backend": backend,
        "policy": policy_label(scenario.policy.name),
        "is_bound": policy_kind(scenario).is_bound,
        "seed": scenario.seed,
        "clock": scenario.clock,
        "page_size": PAGE_SIZE,
        "copy_ns": GUEST_PRICES_NS["cow_break"],
        "host": room.document if room is not None else None,
        "prices": prices.document(),
        "knobs": scenario.ksm.all_tunables(),
        "scenario": scenario.model_dump(mode="json", exclude_none=True),
    }
