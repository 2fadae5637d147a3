"""How many pages may be scanned by now: one limit for the host, one for each guest, in pages a second.

A limit is a bucket of tokens that its rate fills as the policy's clock goes on, up to what one second gives; it starts
full. A rate of 0 is no limit. Source: gupta2008, sections 5 and 5.2, and its 2010 version, on ESX 3.0.1's settings.
"""

from __future__ import annotations

from collections.abc import Iterable

from vmdedup.policy.esx.layout import NO_LIMIT, NO_VM_LIMIT, PAGE_COST, TOKENS, Tables


class Limits:
    """Fills the buckets in the tables; the kernels take out of them."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._host_rate = 0
        self._vm_rate = 0

    def set_rates(self, host: int, vm: int) -> None:
        """Pages a second, 0 for no limit. Buckets of a rate that has changed are filled."""
        state, tokens = self._tables.state, self._tables.tokens
        if host != self._host_rate:
            state[TOKENS] = host * PAGE_COST
        if vm != self._vm_rate:
            tokens[:] = vm * PAGE_COST
        self._host_rate, self._vm_rate = host, vm
        state[NO_LIMIT], state[NO_VM_LIMIT] = int(host == 0), int(vm == 0)

    def enter(self, mm: int) -> None:
        """A new guest starts with a full bucket."""
        self._tables.tokens[mm] = self._vm_rate * PAGE_COST

    def pass_time(self, milliseconds: int) -> None:
        """Fill the buckets by what so much time gives."""
        state, tokens = self._tables.state, self._tables.tokens
        # A token is a thousandth of a page: pages a second times milliseconds.
        state[TOKENS] = min(int(state[TOKENS]) + self._host_rate * milliseconds, self._host_rate * PAGE_COST)
        full = self._vm_rate * PAGE_COST
        tokens += min(self._vm_rate * milliseconds, full)
        tokens[tokens > full] = full

    def host_allows(self) -> bool:
        """Whether one more page may be scanned at all."""
        return self._host_rate == 0 or bool(self._tables.state[TOKENS] >= PAGE_COST)

    def allowed(self, mms: Iterable[int]) -> list[int]:
        """The guests of which one more page may be scanned."""
        return [mm for mm in mms if self._vm_rate == 0 or self._tables.tokens[mm] >= PAGE_COST]
