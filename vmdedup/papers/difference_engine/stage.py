"""A scenario's guests and its policy in this process, step by step: for what has to be seen between two steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vmdedup.closing import Closing
from vmdedup.guest.diskspec import open_disks
from vmdedup.guest.machine import Guest
from vmdedup.host.memory import Host
from vmdedup.papers.bench.base import scenario_of
from vmdedup.policy.base import Policy
from vmdedup.scenario.plan import plan
from vmdedup.scenario.policy import explicit, policy_kind

TICK_MS = 100


class Stage(Closing):
    """Guests live a tick, then the policy scans its share: the scenario's batches of a tick as one.

    What the scenario says of costs and of events is left out.

    host, policy: at work. now_ms: virtual time. pages: that all guests together have.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        scenario = scenario_of(data)
        planned = plan(scenario)
        self.now_ms = 0
        self.pages = scenario.pages
        batch, rest_ms = (int(scenario.ksm.all_tunables()[name]) for name in ("pages_to_scan", "sleep_millisecs"))
        self._pages_a_tick = batch * TICK_MS // rest_ms
        self._disks = open_disks((spec.disk for spec in planned.specs), lambda text: None)
        self.host = Host.create(scenario.pages, mms=len(planned.specs), swap=True)
        self.policy: Policy = policy_kind(scenario)(self.host, scenario.seed)
        for knob, text in explicit(scenario).items():
            self.policy.set(knob, text)
        self.guests: list[Guest] = []
        for spec in planned.specs:
            memory = self.host.add(spec.memory_pages, spec.name)
            self.policy.enter(memory.mm)
            self.guests.append(Guest(spec, memory, self._disks[spec.disk]))
            self.guests[-1].boot()

    def live(self) -> None:
        """Let every guest live for a tick."""
        self.now_ms += TICK_MS
        for guest in self.guests:
            guest.advance(TICK_MS)

    def scan(self) -> None:
        """Let the policy do what a tick has room for."""
        self.policy.charge(self.now_ms, 0)
        self.policy.scan(self._pages_a_tick)

    def close(self) -> None:
        """Let go of memory and disks."""
        self.host.close()
        for disk in self._disks.values():
            disk.close()
