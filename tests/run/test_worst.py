"""The worst moment of a host, to the frame, and what events did to it: said also where no row shows it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from rich.console import Console

from kit.small_runs import SMALL, run
from vmdedup.host.memory import Host
from vmdedup.report.summary import render
from vmdedup.result.moments import moments
from vmdedup.result.run import Result
from vmdedup.result.summary import possible_from, time_to
from vmdedup.scenario.overrides import Overrides

MIB_PAGES = 256


def shown(result: Result) -> str:
    out = io.StringIO()
    render(result.summary, Console(width=200, file=out))
    return out.getvalue()


def test_a_host_knows_the_most_that_it_has_used() -> None:
    host = Host.create(64, frames=40)
    memory = host.add(64)
    memory.write_pages(np.arange(30), np.ones((30, 4096), np.uint8))
    memory.discard(np.arange(25))
    memory.write_pages(np.arange(10), np.ones((10, 4096), np.uint8))
    assert (host.frames_in_use(), host.frames_at_most(), host.capacity) == (15, 30, 40)
    host.close()


def row(time_s: float, used: int, possible: int = 0, saved: int = 0) -> dict[str, float | int]:
    return {"time_s": time_s, "used_pages": used, "possible_pages": possible, "saved_pages": saved}


def test_events_of_one_moment_are_one_with_what_they_did() -> None:
    events = [{"time_s": 90.0, "text": f"vm-{n}: reboot"} for n in range(8)]
    events += [{"time_s": 90.4, "text": "host memory is exhausted"}, {"time_s": 3.0, "text": "vm-1: pause"}]
    events.sort(key=lambda event: float(str(event["time_s"])))
    worst = {"time_s": 90.4, "used_pages": 640 * MIB_PAGES, "host_pages": 640 * MIB_PAGES, "full": True}
    found = moments({"events": events, "worst": worst}, [row(0, 0), row(2, 58_624), row(90.0, 58_624)], 4096)
    assert [moment["text"] for moment in found] == ["vm-1: pause", "8 guests reboot", "host memory is exhausted"]
    assert found[0]["most_used_mib"] is None
    rise = {"used_mib": 229.0, "most_used_mib": 640.0, "most_after_seconds": 0.4, "full": True}
    assert found[1] == {"seconds": 90.0, "text": "8 guests reboot"} | rise


def test_a_run_without_events_has_no_moments() -> None:
    assert moments({"events": []}, [row(0, 0), row(1, 500)], 4096) == []


def test_what_is_reached_counts_from_when_there_was_something_to_reach() -> None:
    """All of next to nothing is had after a second; in the end three quarters of what is possible are."""
    rows = [row(0, 9), row(1, 9, 10, 10), row(2, 9, 400, 200), row(3, 9, 600, 400), row(4, 9, 1000, 730)]
    assert possible_from(rows) == 3
    assert [time_to(rows, percent) for percent in (50, 70, 73, 99)] == [3, 4, 4, None]
    assert possible_from([row(0, 9)]) is None


def test_a_full_host_is_said_to_be_full(tmp_path: Path) -> None:
    """Guests that come one after another, and a host that is full with the third: one is killed for it."""
    text = SMALL.replace("run = 1", "run = 0") + 'start = "one_after_another"\ndelay = "2s"\n'
    result = run(tmp_path, text + '[host]\nmemory = "14MiB"\n', Overrides(duration="6s"))
    worst = result.summary["worst"]
    assert result.run["ended"] == "complete"
    assert result.guests["state"].to_list().count("dead") == 1
    assert (worst["full"], worst["used_mib"], worst["host_mib"]) == (True, 14.0, 14.0)
    assert result.summary["peak_used_mib"] == 14.0
    assert "(host 14.0: FULL)" in shown(result)
    last = result.series.tail(1)
    assert result.guests["allocated_pages"].sum() == last["allocated_pages"][0], "tables tell of the same moment"


def test_rows_of_a_free_run_are_of_one_moment(tmp_path: Path) -> None:
    """Guests that fill their memory as fast as they can: counted one after another, used would exceed allocated."""
    result = run(tmp_path, SMALL, Overrides(clock="wall", duration="2s"))
    for at in result.series.iter_rows(named=True):
        parts = at["zero_pages"] + at["within_guest_pages"] + at["between_guests_pages"]
        assert 0 <= at["saved_pages"] == parts <= at["possible_pages"]
