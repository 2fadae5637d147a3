"""What happened during a run, and what it did to the host: events taken together.

Events of one moment that do the same to several guests are one: "8 guests reboot". What a moment did is looked for from
it to the next one: the most that the host used in that time, by the rows and by the host's own mark (run.json's
worst), which also knows what was between two rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from vmdedup.result.tables import Row
from vmdedup.units import mib

_DONE: Final = re.compile(r"(.+): (pause|resume|reboot|leave)")
_NOTABLE: Final = 0.01  # of what was used: less than that is no change worth a word


def moments(run: Mapping[str, Any], rows: Sequence[Row], size: int) -> list[dict[str, Any]]:
    """Events by time: seconds, text, and where the host's use rose: used_mib before, most_used_mib, full.

    most_after_seconds: when it used most. Those four are null where it did not rise by a hundredth.
    """
    found = list(_together(run["events"]))
    ends = [*(moment["seconds"] for moment in found[1:]), float("inf")][: len(found)]
    marks = [(row["time_s"], row["used_pages"], False) for row in rows]
    if worst := run.get("worst"):
        marks.append((worst["time_s"], worst["used_pages"], bool(worst["full"])))
    return [moment | _effect(moment["seconds"], end, marks, size) for moment, end in zip(found, ends, strict=True)]


def _together(events: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """One for each event, or for all that do the same to guests at the same time."""
    groups: dict[tuple[float, str], list[str]] = {}
    for event in events:
        done = _DONE.fullmatch(str(event["text"]))
        key = (float(event["time_s"]), done[2] if done else "")
        groups.setdefault(key if done else (key[0], str(event["text"])), []).append(done[1] if done else "")
    for (seconds, what), names in groups.items():
        guests = [name for name in names if name]
        if guests:
            what = f"{len(guests)} guests {what}" if len(guests) > 1 else f"{guests[0]}: {what}"
        elif len(names) > 1:
            what = f"{what} ({len(names)} times)"
        yield {"seconds": seconds, "text": what}


def _effect(begin: float, end: float, marks: Sequence[tuple[float, int, bool]], size: int) -> dict[str, Any]:
    before = max((mark for mark in marks if mark[0] <= begin), default=None)
    after = [mark for mark in marks if begin < mark[0] <= end]
    most = max(after, key=lambda mark: (mark[1], -mark[0]), default=None)
    if before is None or most is None or most[1] <= before[1] * (1 + _NOTABLE):
        return {"used_mib": None, "most_used_mib": None, "most_after_seconds": None, "full": False}
    return {
        "used_mib": _mib(before[1], size),
        "most_used_mib": _mib(most[1], size),
        "most_after_seconds": round(most[0] - begin, 3),
        "full": most[2],
    }


def _mib(pages: float, size: int) -> float:
    return round(mib(pages * size), 3)
