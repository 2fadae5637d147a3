"""Calibration: prices that follow from made-up times, and real ones from the kernel's ksmd."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from vmdedup.errors import UsageError
from vmdedup.ksm.host_prices import VARIABLE, host_prices
from vmdedup.ksm.prices import BUILT_IN, bill_ns
from vmdedup.live.ksm.session import KsmSession
from vmdedup.live.prices import calibrated
from vmdedup.live.prices.calibration import CONTENTS, Phase, _emulated, calibrate, solve

PAGES = 4096  # fewer do not make the emulated ksmd find out what most pages have in common


def test_prices_follow_from_what_was_done_and_what_it_took() -> None:
    """Times made from a list give that list again, whatever it is."""
    prices = {name: 3.0 + 2 * number for number, name in enumerate(BUILT_IN)}
    phases = {}
    for content in CONTENTS:
        for name, work in zip(content.scans, _emulated(content, content.make(PAGES)), strict=True):
            phases[content.name, name] = Phase(content.name, name, PAGES, work, [float(bill_ns(work, prices))] * 3)
    # The first price is solved with waking up in it, which is as nothing in a scan of many pages, not in one of these.
    phases["pairs", "steady"].ns = [phases["pairs", "steady"].median - prices["batch"]]
    found = solve(phases)
    assert set(found) == set(BUILT_IN)
    for name, price in prices.items():
        assert found[name] == pytest.approx(price, rel=0.02), name


@pytest.mark.kernel
def test_this_hosts_ksmd_has_its_prices(require_kernel_ksm: KsmSession) -> None:
    prices, phases = calibrate(require_kernel_ksm, PAGES, 1, lambda text: None)
    assert set(prices) == set(BUILT_IN)
    assert all(price >= 0 for price in prices.values())
    assert prices["visit"] > 0
    assert prices["hash_byte"] > 0
    assert all(phase.median > 0 for phase in phases)


def test_what_is_kept_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "prices.json"))
    assert calibrated.in_force()["prices_ns"] == BUILT_IN
    document = {"schema_version": 1, "prices_ns": dict.fromkeys(BUILT_IN, 1.5)}
    path = calibrated.keep(document, None)
    assert host_prices() == document["prices_ns"] == calibrated.in_force()["prices_ns"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_file_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    mine = tmp_path / "notes.json"
    mine.write_text(json.dumps({"mine": 1}))
    with pytest.raises(UsageError, match="is there already"):
        calibrated.output(mine, force=False)
    assert json.loads(mine.read_text()) == {"mine": 1}


def test_without_root_it_says_so_and_ends_with_4(monkeypatch: pytest.MonkeyPatch) -> None:
    from vmdedup.errors import EnvironmentLacksError

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(EnvironmentLacksError, match="root"):
        calibrated.measure(PAGES, 1, lambda text: None)
    assert EnvironmentLacksError.exit_status == 4
