"""The benchmark that takes a browser for a phone: what it says where there is none, and its tables."""

from __future__ import annotations

import os

import pytest

from benchmarks import zygote
from benchmarks.zygote_page import policies_table, shared_table


def test_no_browser(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert zygote.main([]) == 4
    assert "apt-get install chromium" in capsys.readouterr().err
    monkeypatch.setattr("shutil.which", lambda name: "/bin/false")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert zygote.main([]) == 4
    assert "run as root" in capsys.readouterr().err


def test_a_browser_that_does_not_come_up(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: "/bin/false")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert zygote.main([]) == 4
    assert "does not listen" in capsys.readouterr().err


def test_the_tables() -> None:
    frames = {"frames": 512, "sharing_fork_mib": 1.0, "sharing_file_mib": 2.0, "sharing_ksm_mib": 0.0}
    frames |= {"left_mib": 0.5, "left_anonymous_mib": 0.25}
    text = shared_table([{"name": "tabs", "reserved": 1 << 20, "pages": 1280, "frames": frames}])
    assert text.splitlines()[-1] == "| tabs | 1,048,576 | 5.0 | 2.0 | 1.0 | 2.0 | 0.0 | 0.5 | 0.2 |"
    run = {"mean_saved_mib": 1.0, "saved_mib": 2.0, "saved_percent_of_possible": 50.0}
    run |= {"cpu_seconds": 0.5, "guests_cost_seconds": 0.0}
    rows = policies_table({500: [{"policy": "ksm", **run}, {"policy": "zram", **run, "mean_saved_mib": 3.0}]})
    assert [row.split(" | ")[1] for row in rows.splitlines()[2:]] == ["zram", "ksm"]
