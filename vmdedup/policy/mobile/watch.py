"""What is known of an area between visits: when its next pass is due, and how urgent it is."""

from __future__ import annotations

from dataclasses import dataclass

from vmdedup.host.layout import ANONYMOUS, BACKGROUND, FILES, FOREGROUND
from vmdedup.policy.mobile.areas import Area

# How much longer an area may wait than one whose app has just gone to the background, milliseconds. Nothing is left
# waiting for ever: what is due for that much longer comes first again.
_FILES_MS, _AGAIN_MS, _SERVICE_MS = 8000, 4000, 1000


@dataclass
class Watch:
    """turns: as last seen. due_ms: when its next pass begins. wait_ms: until the next pass.

    passes: since its last turn. at: pages of this pass that are done. written: pages of this pass stored to. late:
    whether this pass began too late.
    """

    turns: int
    due_ms: int
    wait_ms: int
    passes: int = 0
    at: int = 0
    written: int = 0
    late: bool = False

    def end_pass(self, now_ms: int, longest_ms: int) -> None:
        """Say when the next pass is due: the second soon, further ones later and later, more so if nothing is new."""
        if self.passes:
            self.wait_ms = min(self.wait_ms * (2 if self.written else 8), longest_ms)
        self.passes += 1
        self.at = self.written = 0
        self.late = False
        self.due_ms = now_ms + self.wait_ms


def is_inherited(area: Area) -> bool:
    """Whether all apps have it from the zygote."""
    return area.owner == 0 and area.kind == ANONYMOUS


def rank(area: Area, watch: Watch) -> int:
    """What passes are ordered by: when it is due, and what is to be had there, as a time in milliseconds."""
    if area.kind == FILES:
        return watch.due_ms + _FILES_MS
    if watch.passes > 1 or area.state == FOREGROUND:
        return watch.due_ms + _AGAIN_MS
    urgent = area.state == BACKGROUND or is_inherited(area)
    return watch.due_ms + (0 if urgent else _SERVICE_MS)
