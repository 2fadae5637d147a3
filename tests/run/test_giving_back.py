"""Runs whose guests give memory back: the host has it, and has it no more once they use it again."""

from __future__ import annotations

from pathlib import Path

import pytest

from kit.small_runs import run

pytestmark = pytest.mark.compiled  # several guests at a time need atomic operations

TEXT = """\
name = "giving"
duration = "8s"
[[guests]]
name = "reports"
memory = "32MiB"
workload = "phases"
kernel_mib = 2
parameters = { kind = "random", pause_s = 1.5, mib_s = 400, fill_share = 0.5 }
disk = { kind = "generated", mib = 4 }
free_page_reporting = true
[[guests]]
name = "balloon"
memory = "16MiB"
workload = "idle"
kernel_mib = 2
disk = { kind = "generated", mib = 16 }
boot = { processes = 24, cache_share = 0.35, heap_share = 0.18 }
balloon = { target_mib = 8 }
events = [{ at = "4s", do = "balloon", target = 0 }]
"""


def test_frames_are_free_again_as_soon_as_a_guest_gives_them_back(tmp_path: Path) -> None:
    """The first fills half of its memory and frees it, which it reports two seconds later; the second may not."""
    reporting = run(tmp_path, TEXT)
    plain = run(tmp_path, TEXT.replace("free_page_reporting = true", "").replace("target_mib = 8", "target_mib = 0"))
    used = {
        name: [row["used_pages"] for row in made.series.to_dicts()] for name, made in (("r", reporting), ("p", plain))
    }
    assert used["r"][0] == used["p"][0]
    assert [event["text"] for event in reporting.run["events"] if "balloon" in event["text"]] == [
        "balloon: balloon to 0B"
    ]
    assert used["p"][6] - used["r"][6] > 7 * 512, "seven blocks of 2 MiB, between two phases"
    assert used["r"][7] > used["r"][6] + 7 * 512, "and it uses them again"
    held = {name: made.guests["allocated_pages"].to_list()[1] for name, made in (("r", reporting), ("p", plain))}
    assert held["p"] - held["r"] > 1000, "the second had what it has since then only"
    assert max(used["p"]) == used["p"][-1], "nothing comes back of itself"
