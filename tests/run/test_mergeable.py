"""Guests whose memory may not be merged, and guests that trust only some: by the keys of a group."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.small_runs import SMALL, run
from vmdedup.result.tables import records

OTHER = """
[[guests]]
name = "other"
count = 2
memory = "8MiB"
workload = "idle"
disk = {{ kind = "generated", mib = 16 }}
{}
"""


@pytest.mark.compiled
def test_guests_that_are_not_mergeable_save_nothing_and_are_not_looked_at(tmp_path: Path) -> None:
    found = run(tmp_path, SMALL + OTHER.format("mergeable = false"))
    rows = {str(row["guest"]): row for row in records(found.guests)}
    assert all(float(rows[name]["saved_pages"]) > 0 for name in ("vm-0", "vm-1", "vm-2"))
    for name in ("other-0", "other-1"):
        assert rows[name]["allocated_pages"] == rows[name]["used_pages"] > 0
        assert rows[name]["ksm_rmap_items"] == 0


@pytest.mark.compiled
def test_a_guest_that_is_not_mergeable_can_leave(tmp_path: Path) -> None:
    leaving = 'mergeable = false\nevents = [{ at = "1s", do = "leave" }]'
    rows = records(run(tmp_path, SMALL + OTHER.format(leaving)).series)
    assert (rows[0]["guests"], rows[-1]["guests"]) == (5, 3)


@pytest.mark.compiled
def test_domains_keep_policies_that_know_them_from_sharing_across(tmp_path: Path) -> None:
    policy = '[policy]\nname = "ksm_domains"\n[policy.tunables]\npages_to_scan = 1000\n'
    text = SMALL.replace("count = 3", "count = 1").replace("[[guests]]", policy + "[[guests]]")
    alone = OTHER.format("domain = 1").replace("count = 2", "count = 1")
    together = OTHER.format("domain = 0").replace("count = 2", "count = 1")
    apart, joined = run(tmp_path, text + alone), run(tmp_path, text + together)
    assert records(joined.series)[-1]["between_guests_pages"] > 0
    assert records(apart.series)[-1]["between_guests_pages"] == 0
