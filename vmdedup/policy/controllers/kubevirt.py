"""KSM under KubeVirt's node agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vmdedup.ksm.sysfs import Tunable
from vmdedup.policy.controllers.base import Controlled
from vmdedup.policy.controllers.kubevirt_law import KubevirtLaw
from vmdedup.policy.controllers.readings import Setting
from vmdedup.policy.controllers.tunables import controlled, seconds, signed

_LAW = KubevirtLaw()


class Kubevirt(Controlled):
    """KSM under KubeVirt's virt-handler: on under memory pressure, slowing down to a stop without.

    loop_interval is 600 s in the version whose law this is; later ones look within 180 s.
    """

    name: ClassVar[str] = "kubevirt"
    source: ClassVar[str] = "kubevirt, pkg/virt-handler/ksm/ksm.go"
    tunables: ClassVar[Mapping[str, Tunable]] = controlled(
        seconds("loop_interval", 600, "how often it looks"),
        signed("pages_boost", _LAW.pages_boost, "added to pages_to_scan while too little is free"),
        signed("pages_decay", _LAW.pages_decay, "added while enough is free"),
        Tunable("pages_min", _LAW.pages_min, "fewer than these: ksmd is stopped", "pages"),
        Tunable("pages_max", _LAW.pages_max, "most pages_to_scan", "pages"),
        Tunable("pages_init", _LAW.pages_init, "pages_to_scan when it starts ksmd", "pages"),
        Tunable("sleep_ms_baseline", _LAW.sleep_ms_baseline, "sleep between batches with 16 GiB in use", "ms"),
        Tunable("free_percent", _LAW.free_percent, "memory that is to be free, per cent of all", "%"),
    )

    def first_wait_s(self) -> int:
        """It looks at once."""
        return 0

    def wait_s(self) -> int:
        """Its ticker."""
        return self._own["loop_interval"]

    def law(self) -> KubevirtLaw:
        """Its law, as the node's annotations say."""
        own = self._own
        return KubevirtLaw(
            own["pages_boost"],
            own["pages_decay"],
            own["pages_min"],
            own["pages_max"],
            own["pages_init"],
            own["sleep_ms_baseline"],
            own["free_percent"],
        )

    def adjust(self) -> Setting:
        """One spin of its loop."""
        return self.law().adjust(self.read(), self.runs, self._ksmd.get("pages_to_scan"))
