"""What a recording holds, as one document."""

from __future__ import annotations

import time
from typing import Any

from vmdedup.recording.reader import Recording

SCHEMA_VERSION = 1


def summarise(recording: Recording) -> dict[str, Any]:
    """Guests, steps, pages and bytes; times in seconds since the first step. Reads no contents."""
    return {
        "schema_version": SCHEMA_VERSION,
        "file": recording.path,
        "bytes": recording.size,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(recording.created)),
        "distinct_pages": recording.distinct,
        "guests": [{"name": guest.name, "source": guest.source, "pages": guest.pages} for guest in recording.guests],
        "steps": [_step(recording, number) for number in range(len(recording.steps))],
        "note": recording.note,
    }


def _step(recording: Recording, number: int) -> dict[str, Any]:
    """A step; a guest of which nothing was taken has not changed."""
    step = recording.steps[number]
    guests = []
    for guest, recorded in enumerate(recording.guests):
        last = recording.snapshot(guest, number)
        changed = last.changed if guest in step.guests else 0
        known = {"name": recorded.name, "present_pages": last.present, "changed_pages": changed}
        guests.append({**known, "digest": last.digest})
    return {"time_s": step.time_ns / 1e9, "guests": guests}
