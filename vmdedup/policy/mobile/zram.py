"""Compressed swap: anonymous pages that were not used for a while are kept compressed in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vmdedup.host.layout import FILES
from vmdedup.ksm.sysfs import Tunable
from vmdedup.policy.mobile.areas import Area
from vmdedup.policy.mobile.packing import CODEC, LZ4
from vmdedup.policy.mobile.rounds import RoundPolicy
from vmdedup.policy.mobile.visit import visit_by_use


class Zram(RoundPolicy):
    """Nothing is shared. One word all over a page is kept as that word, as zram has it; other pages compressed.

    The kernel sends pages there when memory is short; here it is after a time without use, so that policies can be
    compared at equal pressure. Files are not swapped. A page that becomes hardly smaller stays as it is.
    """

    name: ClassVar[str] = "zram"
    source: ClassVar[str] = "Linux, Documentation/admin-guide/blockdev/zram.rst; Android low-RAM guide"
    below_page: ClassVar[bool] = True
    tunables: ClassVar[Mapping[str, Tunable]] = {
        tunable.name: tunable
        for tunable in (
            Tunable("idle_millisecs", 2000, "how long a page is unused before it is compressed", "ms", high=1 << 30),
            Tunable("compress_cut_off", 3072, "largest compressed page that is kept", "bytes", high=4096),
            Tunable("codec", LZ4, CODEC, high=2),
        )
    }

    def _takes(self, area: Area) -> bool:
        return area.kind != FILES and self.host.page_size == 4096

    def _visit(self, area: Area, first: int, count: int) -> None:
        records, idle = self._records, self._knobs["idle_millisecs"]
        rows = int(visit_by_use(self.host.arrays, records, first, count, self.now_ms, idle))
        for entry in records.todo[:rows].tolist():
            page = self._packing.take_unused(entry)
            if page is None or self._packing.fill(page):
                continue
            if not self._packing.compress(page, self._knobs["compress_cut_off"], self._knobs["codec"]):
                self._packing.let_go(page)
                records.misses[entry] = 1
