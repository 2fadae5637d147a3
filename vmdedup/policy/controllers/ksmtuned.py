"""KSM under ksmtuned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vmdedup.host.memory import Host
from vmdedup.ksm.sysfs import Tunable
from vmdedup.policy.controllers.base import Controlled
from vmdedup.policy.controllers.ksmtuned_law import KsmtunedLaw
from vmdedup.policy.controllers.readings import Setting
from vmdedup.policy.controllers.tunables import controlled, seconds, signed

_LAW = KsmtunedLaw()


class Ksmtuned(Controlled):
    """KSM under ksmtuned: faster while little memory is free, off while much is.

    It finds guests by how QEMU was started, and misses those that libvirt starts (sees_guests=0): an absolute path,
    and -accel kvm, do not match its pattern. Then only little free memory turns ksmd on.
    """

    name: ClassVar[str] = "ksmtuned"
    source: ClassVar[str] = "ksmtuned 4.20150326, /usr/sbin/ksmtuned"
    tunables: ClassVar[Mapping[str, Tunable]] = controlled(
        seconds("monitor_interval", 60, "how often it looks"),
        Tunable("sleep_msec", _LAW.sleep_msec, "sleep between batches on a host of 16 GiB", "ms"),
        signed("npages_boost", _LAW.npages_boost, "added to pages_to_scan while too little is free"),
        signed("npages_decay", _LAW.npages_decay, "added while enough is free"),
        Tunable("npages_min", _LAW.npages_min, "least pages_to_scan", "pages"),
        Tunable("npages_max", _LAW.npages_max, "most pages_to_scan", "pages"),
        Tunable("thres_coef", _LAW.thres_coef, "memory that is to be free, per cent of all", "%"),
        Tunable("thres_const", _LAW.thres_const, "the least that is to be free", "KiB"),
        Tunable("sees_guests", 1, "whether its pattern finds the guests' processes", high=1),
    )

    def __init__(self, host: Host, seed: int = 0) -> None:
        super().__init__(host, seed)
        self._npages = 0

    def first_wait_s(self) -> int:
        """It sleeps first."""
        return self.wait_s()

    def wait_s(self) -> int:
        """KSM_MONITOR_INTERVAL."""
        return self._own["monitor_interval"]

    def law(self) -> KsmtunedLaw:
        """Its law, as configured."""
        own = self._own
        return KsmtunedLaw(
            own["sleep_msec"],
            own["npages_boost"],
            own["npages_decay"],
            own["npages_min"],
            own["npages_max"],
            own["thres_coef"],
            own["thres_const"],
        )

    def adjust(self) -> Setting:
        """One step of its loop."""
        read = self.read()
        committed = read.resident if self._own["sees_guests"] else 0
        setting, self._npages = self.law().adjust(read, committed, self._npages)
        return setting
