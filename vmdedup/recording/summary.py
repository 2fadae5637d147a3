"""What a recording holds, as one document."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from vmdedup.errors import DumpError
from vmdedup.recording.reader import Recording
from vmdedup.recording.snapshot import Snapshot

SCHEMA_VERSION = 1
MOST_ROWS = 1 << 20  # steps of guests that are shown of any file
BYTES_A_ROW = 64  # that a step of a guest takes in a file, at least


def summarise(recording: Recording) -> dict[str, Any]:
    """Guests, steps, pages and bytes; times in seconds since the first step. Reads no contents.

    DumpError: it has far more steps of guests than a file of its size can have been recorded with.
    """
    rows = len(recording.steps) * len(recording.guests)
    if rows > max(MOST_ROWS, recording.size // BYTES_A_ROW):
        raise DumpError(f"{recording.path} has {rows} steps of guests in {recording.size} bytes; record again")
    return {
        "schema_version": SCHEMA_VERSION,
        "file": recording.path,
        "bytes": recording.size,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(recording.created)),
        "distinct_pages": recording.distinct,
        "guests": [{"name": guest.name, "source": guest.source, "pages": guest.pages} for guest in recording.guests],
        "steps": list(_steps(recording)),
        "note": recording.note,
    }


def _steps(recording: Recording) -> Iterator[dict[str, Any]]:
    """Each step; a guest of which nothing was taken has not changed."""
    last: dict[int, Snapshot] = {}
    for number, step in enumerate(recording.steps):
        last |= step.guests
        guests = []
        for guest, recorded in enumerate(recording.guests):
            taken = last.get(guest) or recording.snapshot(guest, number)
            changed = taken.changed if guest in step.guests else 0
            known = {"name": recorded.name, "present_pages": taken.present, "changed_pages": changed}
            guests.append({**known, "digest": taken.digest})
        yield {"time_s": step.time_ns / 1e9, "guests": guests}
