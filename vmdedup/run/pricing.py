"""By which prices a run's ksmd, or policy, is billed, and by which its batches take virtual time.

                        virtual time, advisor, controllers       CPU time that rows and summary state
    page_cost given     pages × page_cost                        the same
    default             built-in prices: equal on every host     this host's prices if it was calibrated, else built-in
    prices = "built-in" built-in prices                          built-in prices
    prices = "host"     this host's prices                       this host's prices
    a kernel's ksmd     as above                                 measured, unless page_cost is given
    wall clock          real                                     measured

So what a run does is the same everywhere, unless it is asked for otherwise; only its bill is this host's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from vmdedup.errors import UsageError
from vmdedup.ksm.host_prices import host_prices
from vmdedup.ksm.prices import BUILT_IN, Prices, bill_ns
from vmdedup.policy.work import PRICES_NS, price_list
from vmdedup.scenario.model import Scenario
from vmdedup.units import SECOND_NS

PAGE_COST: Final = "page_cost"
BUILT_IN_NAME, HOST, MEASURED = "built-in", "host", "measured"


@dataclass(frozen=True)
class Pricing:
    """source: whose prices the stated CPU time is by. stated, virtual: price lists, all policies' operations in both.

    page_cost: ns of virtual time that any page takes; None: by the list.
    """

    source: str
    stated: Prices
    virtual: Prices
    page_cost: int | None

    def seconds(self, done: Mapping[str, int]) -> float:
        """The CPU time to be stated for what was done."""
        return bill_ns(done, self.stated) / SECOND_NS

    def document(self) -> dict[str, Any]:
        """What run.json says: source, and the price list in nanoseconds if CPU time was billed."""
        if self.source == PAGE_COST:
            return {"source": self.source, "page_ns": self.page_cost}
        if self.source == MEASURED:
            return {"source": self.source}
        return {"source": self.source, "operation_ns": dict(self.stated)}


def pricing(scenario: Scenario, backend: str = "emulator") -> Pricing:
    """Settle the prices of a run. UsageError: prices of this host are asked for, and there are none, or bad ones."""
    wanted, flat = scenario.ksm.prices, scenario.ksm.page_cost
    is_flat = flat is not None and scenario.policy.is_plain
    if scenario.clock == "wall" or (backend != "emulator" and not is_flat):
        source, ours = MEASURED, None
    elif is_flat:
        source, ours = PAGE_COST, None
    else:
        ours = None if wanted == BUILT_IN_NAME else host_prices()
        source = BUILT_IN_NAME if ours is None else HOST
    if wanted == HOST and ours is None:
        ours = _required()
    stated = price_list(ours or BUILT_IN)
    return Pricing(source, stated, stated if wanted == HOST else PRICES_NS, flat)


def _required() -> Prices:
    found = host_prices()
    if found is None:
        raise UsageError(
            'prices = "host": this host was not calibrated; run `vmdedup calibrate` as root, or leave it out'
        )
    return found
