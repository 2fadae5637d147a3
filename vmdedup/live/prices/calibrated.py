"""The file of this host's prices: measured, put where runs look for it, read again."""

from __future__ import annotations

import json
import platform
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from vmdedup.ksm.host_prices import PLACE, SCHEMA_VERSION, place, read
from vmdedup.ksm.prices import BUILT_IN
from vmdedup.live.ksm.session import KsmSession
from vmdedup.live.prices.calibration import Say, calibrate, stated
from vmdedup.ours import file, folder
from vmdedup.outputs import MARK, Output

Document = dict[str, Any]
_WAIT = 60.0  # seconds that another vmdedup may have the kernel's KSM


def measure(pages: int, rounds: int, say: Say) -> Document:
    """Calibrate. EnvironmentLacksError: no root, no KSM, or somebody else uses it."""
    with closing(KsmSession(wait=_WAIT)) as session:
        prices, phases = calibrate(session, pages, rounds, say)
    return {
        "made_by": f"{MARK} calibrate",
        "schema_version": SCHEMA_VERSION,
        "made": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "kernel": platform.release(),
        "pages": pages,
        "rounds": rounds,
        "prices_ns": prices,
        "phases": [{**phase.document(), "stated_over_measured": round(stated(phase, prices), 3)} for phase in phases],
    }


def in_force() -> Document:
    """What runs are billed by now: this host's prices, or the built-in ones. UsageError: the file will not do."""
    document = read(place())
    return document or {"schema_version": SCHEMA_VERSION, "made": None, "prices_ns": dict(BUILT_IN), "phases": []}


def output(path: Path | None, force: bool) -> Output | None:
    """A file that the user has named, refused before anything is measured; None: the place where runs look."""
    return None if path is None else Output(path, force)


def keep(document: Document, named: Output | None) -> Path:
    """Write it for everybody to read. Returns where. EnvironmentLacksError, VmdedupError: it cannot be written."""
    text = json.dumps(document, indent=1) + "\n"
    if named is not None:
        named.write_bytes(text.encode())
        return named.path
    where = place()
    file.write((folder.private(where.parent, 0o755) if where == PLACE else where.parent) / where.name, text, 0o644)
    return where
