"""Similar pages of anonymous memory: a base and what differs from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vmdedup.host.layout import ANONYMOUS
from vmdedup.host.memory import Host
from vmdedup.ksm.sysfs import Tunable
from vmdedup.policy.mobile.areas import Area
from vmdedup.policy.mobile.rounds import RoundPolicy
from vmdedup.policy.mobile.similar import Bases
from vmdedup.subpage.delta import CUT_OFF


class SimilarPage(RoundPolicy):
    """Equal pages first; a settled heap page without equal becomes a difference to one that is like it, or a base.

    How Sparrow finds similar pages its abstract does not say; here it is Difference Engine's detector. A page that is
    kept as a difference is rebuilt at its next use.
    """

    name: ClassVar[str] = "similar_page"
    source: ClassVar[str] = "Sparrow, DATE 2024 (abstract); detector: Difference Engine, OSDI 2008, section 3.1.2"
    below_page: ClassVar[bool] = True
    tunables: ClassVar[Mapping[str, Tunable]] = {
        tunable.name: tunable
        for tunable in (
            Tunable("difference_cut_off", CUT_OFF, "largest difference that is kept", "bytes", high=4096),
            Tunable("difference", 0, "0: copies and new bytes; 1: zstd; 2: words in the same place", high=2),
            Tunable("base_rounds", 4, "rounds after which bases are chosen anew", "rounds", low=1, high=1000),
        )
    }

    def __init__(self, host: Host, seed: int = 0) -> None:
        super().__init__(host, seed)
        self._bases = Bases(host, self.work, seed)

    def _settled(self, area: Area, entries: list[int]) -> None:
        if area.kind != ANONYMOUS or self.host.page_size != 4096:
            return
        for entry, signature in zip(entries, self._bases.sign(entries), strict=True):
            candidates = [other for other in self._bases.candidates(signature) if other != entry]
            if not any(self._difference(entry, other) for other in candidates):
                self._bases.offer(entry, signature)

    def _difference(self, entry: int, base: int) -> bool:
        page = self._packing.take_unused(entry)
        if page is None:
            return True
        if self._packing.difference(page, base, self._knobs["difference_cut_off"], self._knobs["difference"]):
            return True
        self._packing.let_go(page)
        return False

    def _end_round(self) -> None:
        if self._rounds % self._knobs["base_rounds"] == 0:
            self._bases.forget()
