"""ksmtuned's law. Source: ksmtuned 4.20150326 (Debian, Red Hat, Proxmox), /usr/sbin/ksmtuned."""

from __future__ import annotations

from dataclasses import dataclass

from vmdedup.policy.controllers.readings import Readings, Setting

SLEEP_BASE_KIB = 16 * 1024 * 1024  # memory of the host for which KSM_SLEEP_MSEC is meant
LEAST_SLEEP = 10


@dataclass(frozen=True)
class KsmtunedLaw:
    """Its configuration file, /etc/ksmtuned.conf, without the KSM_ before each name.

    thres_coef: per cent of the host's memory; thres_const: KiB, though its users take it for MiB.
    """

    sleep_msec: int = 10
    npages_boost: int = 300
    npages_decay: int = -50
    npages_min: int = 64
    npages_max: int = 1250
    thres_coef: int = 20
    thres_const: int = 2048

    def threshold(self, total: int) -> int:
        """Memory that is to stay free, KiB."""
        return max(total * self.thres_coef // 100, self.thres_const)

    def sleep(self, total: int) -> int:
        """sleep_millisecs: less on a larger host."""
        return max(LEAST_SLEEP, self.sleep_msec * SLEEP_BASE_KIB // total)

    def adjust(self, read: Readings, committed: int, npages: int) -> tuple[Setting, int]:
        """What it writes, and its npages from now on. committed: KiB of the guests that it sees; npages: as it was."""
        threshold = self.threshold(read.total)
        if committed + threshold < read.total and read.free > threshold:
            return Setting(run=False), npages
        change = self.npages_boost if read.free < threshold else self.npages_decay
        npages = min(max(npages + change, self.npages_min), self.npages_max)
        return Setting(run=True, pages_to_scan=npages, sleep_millisecs=self.sleep(read.total)), npages
