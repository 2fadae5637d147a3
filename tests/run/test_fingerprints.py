"""Runs on pages that stand for contents, against the same ones on bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from golden_runs import names, outcome, recorded
from kit.small_runs import SMALL, Acting, host_of, run
from vmdedup.errors import UsageError
from vmdedup.run.emulation import Emulation
from vmdedup.run.run import COMPLETE
from vmdedup.scenario.load import load_scenario

pytestmark = pytest.mark.compiled

FINGERPRINTS = '[host]\npages = "fingerprints"\n'
SAVINGS = ("allocated_pages", "used_pages", "saved_pages", "possible_pages")
# Scenarios in small, by how far their savings are from those of bytes, where they are at all: pages of the host.
MOST_PAGES = {"oom": 110, "mixed": 2, "fileserver": 1, "phone-day": 3, "phone-short": 3}


@pytest.mark.parametrize("workload", ["idle", "webdb", "phases"])
def test_savings_are_those_of_bytes(workload: str, tmp_path: Path) -> None:
    text = SMALL.replace('"idle"', f'"{workload}"')
    bytes_, stand_ins = run(tmp_path, text), run(tmp_path, text + FINGERPRINTS)
    assert bytes_.series["saved_pages"][-1] > 0
    columns = ["time_s", *SAVINGS, "zero_pages", "within_guest_pages", "between_guests_pages", "ksm_zero_pages"]
    assert stand_ins.series.select(columns).equals(bytes_.series.select(columns))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in names() if name.startswith("scenario/")])
def test_built_in_scenarios_save_what_they_save_in_bytes(name: str) -> None:
    before, now = recorded()[name]["last"], outcome(name, pages="fingerprints")["last"]
    most = MOST_PAGES.get(name.partition("/")[2], 0)
    assert {key: (before[key], now[key]) for key in SAVINGS if abs(before[key] - now[key]) > most} == {}


def test_a_host_of_fingerprints_is_consistent_and_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def look(emulation: Emulation) -> None:
        host = host_of(emulation)
        host.check()
        seen.append(int(host.arrays.words.nbytes))
        assert all(guest.verify() > 300 for guest in emulation.guests.values())

    result = run(tmp_path, SMALL + FINGERPRINTS, watcher=Acting(2, look, monkeypatch))
    assert result.run["ended"] == COMPLETE
    assert result.series["general_profit"][-1] > 4096 * 0.9 * result.series["saved_pages"][-1] - (1 << 20)
    assert seen[0] < 3 * 8 * 2048 * 2


def test_what_takes_bytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "refused.toml"
    for more, message in (
        ('swap = { kind = "zram", size = "8MiB" }\nmemory = "16MiB"\n', "fingerprints cannot be compressed"),
        ('[policy]\nname = "difference_engine"\n', "patches or compresses, which takes bytes"),
    ):
        path.write_text(SMALL + FINGERPRINTS + more)
        with pytest.raises(UsageError, match=message):
            load_scenario(path)


def test_more_guests_than_this_machine_could_hold_in_bytes(tmp_path: Path) -> None:
    text = SMALL.replace('memory = "8MiB"', 'memory = "8GiB"').replace('"3s"', '"200ms"') + FINGERPRINTS
    result = run(tmp_path, text)
    assert result.run["ended"] == COMPLETE
    assert result.run["host"]["host_bytes"] == result.run["host"]["guests_bytes"] == 3 << 33
    assert result.series["allocated_pages"][-1] > 0
