"""KSM under oVirt's Memory Overcommitment Manager."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import ClassVar

from vmdedup.host.memory import Host
from vmdedup.ksm.sysfs import Tunable
from vmdedup.policy.controllers.base import Controlled
from vmdedup.policy.controllers.mom_law import MomLaw
from vmdedup.policy.controllers.readings import Setting
from vmdedup.policy.controllers.tunables import controlled, seconds, signed

_LAW = MomLaw()


class Mom(Controlled):
    """KSM under oVirt's MOM: ksmtuned's rule on an average of free memory, more often, guests with their whole size."""

    name: ClassVar[str] = "mom"
    source: ClassVar[str] = "oVirt MOM, mom-balloon.policy and mom-balloon+ksm.conf"
    tunables: ClassVar[Mapping[str, Tunable]] = controlled(
        seconds("host_monitor_interval", 5, "how often it samples free memory"),
        Tunable("policy_samples", 2, "samples from one look at the policy to the next", low=1),
        Tunable("sample_history_length", 10, "samples that free memory is averaged over", low=1),
        Tunable("sleep_ms_baseline", _LAW.sleep_ms_baseline, "sleep between batches on a host of 16 GiB", "ms"),
        signed("ksm_pages_boost", _LAW.pages_boost, "added to pages_to_scan while too little is free"),
        signed("ksm_pages_decay", _LAW.pages_decay, "added while enough is free"),
        Tunable("npages_min", _LAW.npages_min, "least pages_to_scan", "pages"),
        Tunable("npages_max", _LAW.npages_max, "most pages_to_scan", "pages"),
        Tunable("free_percent", _LAW.free_percent, "memory that is to be free, per cent of all", "%"),
    )

    def __init__(self, host: Host, seed: int = 0) -> None:
        super().__init__(host, seed)
        self._samples: deque[int] = deque()
        self._sampled = 0

    def first_wait_s(self) -> int:
        """It sleeps first."""
        return self.wait_s()

    def wait_s(self) -> int:
        """host-monitor-interval; the policy is looked at every few of them."""
        return self._own["host_monitor_interval"]

    def law(self) -> MomLaw:
        """Its law, as configured."""
        own = self._own
        return MomLaw(
            own["sleep_ms_baseline"],
            own["ksm_pages_boost"],
            own["ksm_pages_decay"],
            own["npages_min"],
            own["npages_max"],
            own["free_percent"],
        )

    def adjust(self) -> Setting | None:
        """Take a sample; every few samples, look at the policy."""
        read = self.read()
        self._samples.append(read.free)
        while len(self._samples) > self._own["sample_history_length"]:
            self._samples.popleft()
        self._sampled += 1
        if self._sampled % self._own["policy_samples"]:
            return None
        average = sum(self._samples) / len(self._samples)
        return self.law().adjust(read, average, self._ksmd.get("pages_to_scan"))
