"""move_pages(2) on a host that has a ksmd: KSM frames move too, if all who map them are found."""

from __future__ import annotations

from vmdedup.host.layout import NO_NODE, NODE_SHIFT
from vmdedup.host.memory import Host
from vmdedup.host.mover import Mover, absent_status
from vmdedup.ksm.follow import follow_frames, keep_unfound
from vmdedup.ksm.layout import KsmArrays
from vmdedup.ksm.profile import Profile


class KsmMover(Mover):
    """Moves pages, and tells ksmd's records. arrays: these."""

    def __init__(self, host: Host, arrays: KsmArrays, profile: Profile) -> None:
        super().__init__(host, absent_status(profile.does("absent_is_told")), profile.does("move_counts_last"))
        self._arrays = arrays

    def _may_move(self, pfn: int) -> bool:
        return int(self._host.arrays.frames[pfn]) >> NODE_SHIFT != NO_NODE

    def _keep_back(self) -> int:
        return int(keep_unfound(self._host.arrays, self._arrays, self._to))

    def _follow(self) -> None:
        follow_frames(self._host.arrays, self._arrays, self._to)
