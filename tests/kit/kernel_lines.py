"""What kernels printed, as it is compared."""

from __future__ import annotations

import json

# Of what `mem` prints, what neither the emulator nor the oracle counts: how pages are queued, and moved.
UNCOUNTED = {"pgmigrate_success", "pgmigrate_fail", "thp_deferred_split_page", "thp_underused_split_page"}
UNCOUNTED |= {"thp_migration_success", "thp_migration_split"}


def counted(line: str) -> str:
    """A line that was printed, without what is not counted."""
    said = json.loads(line)
    if "vmstat" not in said:
        return line
    said["vmstat"] = {name: value for name, value in said["vmstat"].items() if name not in UNCOUNTED}
    return json.dumps(said)
