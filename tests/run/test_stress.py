"""Wall time: guests write as fast as they can while ksmd scans as fast as it can; nothing is ever wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kit.small_runs import host_of, run
from vmdedup.result.run import Result
from vmdedup.run.emulation import Emulation
from vmdedup.run.measure.recorder import Recorder
from vmdedup.run.run import COMPLETE

pytestmark = pytest.mark.compiled

STRESS = """\
duration = "{seconds}s"
clock = "wall"
[ksm]
run = 1
pages_to_scan = 10000
sleep_millisecs = 0
smart_scan = 0
use_zero_pages = {zero}
max_page_sharing = 8
stable_node_chains_prune_millisecs = 100
[[guests]]
count = 8
memory = "8MiB"
workload = "stress"
disk = {{ kind = "generated", mib = 8 }}
"""


@pytest.mark.parametrize(("seconds", "zero"), [(5, 0), (5, 1), pytest.param(60, 1, marks=pytest.mark.slow)])
def test_no_guest_ever_reads_what_it_has_not_written(
    seconds: int, zero: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified: list[int] = []
    real = Recorder.result

    def checked(recorder: Recorder, emulation: Emulation, *rest: Any) -> Result:
        verified.extend(guest.verify() for guest in emulation.alive())
        host_of(emulation).check()
        return real(recorder, emulation, *rest)

    monkeypatch.setattr(Recorder, "result", checked)
    result = run(tmp_path, STRESS.format(seconds=seconds, zero=zero))
    assert result.run["ended"] == COMPLETE
    assert result.run["events"] == []
    assert len(verified) == 8
    # How often depends on the machine's other work; that both have met, not.
    assert min(verified) > 100
    assert result.summary["cow_breaks"] > 100
    assert result.summary["counters"]["full_scans"] >= 2
