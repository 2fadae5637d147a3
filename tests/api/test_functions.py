"""What notebooks call besides Hypervisor: the same answers as the commands give, the same refusals."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import vmdedup
from kit.small_runs import write
from vmdedup.cli import run_command

pytestmark = pytest.mark.compiled


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> vmdedup.Result:
    return vmdedup.run_scenario(write(tmp_path_factory.mktemp("small")))


def test_a_scenario_runs_as_its_command_does(small: vmdedup.Result, tmp_path: Path) -> None:
    assert run_command(["run", str(write(tmp_path)), "--quiet", "--output", str(tmp_path / "out")]) == 0
    assert small.series.equals(vmdedup.open_result(tmp_path / "out").series)
    changed = vmdedup.run_scenario(write(tmp_path), guests=2, knobs=["use_zero_pages=1"], duration="1s")
    assert len(changed.guests) == 2
    assert changed.series["use_zero_pages"].to_list() == [1, 1]
    assert vmdedup.run_scenario(vmdedup.load_scenario(write(tmp_path))).series.equals(small.series)


def test_what_cannot_be_meant_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(vmdedup.UsageError, match=r"guest: unknown change; did you mean 'guests'\?"):
        vmdedup.run_scenario("identical", guest=1)
    with pytest.raises(vmdedup.UsageError, match="is run as it is"):
        vmdedup.run_scenario(vmdedup.load_scenario(write(tmp_path)), guests=1)
    with pytest.raises(vmdedup.UsageError, match=r"ksm\.pages_to_scna: unknown key; did you mean 'pages_to_scan'"):
        vmdedup.Hypervisor(pages_to_scna=1)
    with pytest.raises(vmdedup.UsageError, match=r"guests\[1\]\.memroy: unknown key; did you mean 'memory'"):
        vmdedup.Hypervisor().add().add(memroy="1MiB")
    with pytest.raises(vmdedup.UsageError, match="there is no column 'page_sharing'; did you mean 'pages_sharing'"):
        vmdedup.explain("page_sharing")


def test_a_hypervisor_says_what_it_is() -> None:
    host = vmdedup.Hypervisor(pages_to_scan=1000, policy="esx")
    assert repr(host) == "<Hypervisor: no guests yet; esx, pages_to_scan=1000>"
    host.add(count=4, workload="webdb").add()
    assert repr(host) == "<Hypervisor: 4 × webdb, 1 × idle; esx, pages_to_scan=1000>"


def test_a_result_shows_itself_and_can_be_a_key(small: vmdedup.Result) -> None:
    page = small._repr_html_()
    assert f"<tr><th>saved_mib</th><td>{small.summary['saved_mib']:,.1f}</td></tr>" in page
    assert {small: 1}[small] == 1
    odd = vmdedup.Result({**small.run, "name": "<script>\x1b"}, small.series, small.guests, small.matrix, small.timing)
    assert "<td>&lt;script&gt;\\x1b</td>" in odd._repr_html_()


def test_results_side_by_side(small: vmdedup.Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = small.save(tmp_path / "first"), small.save(tmp_path / "second")
    assert run_command(["compare", str(first), str(second), "--json"]) == 0
    assert vmdedup.compare_results(first, second) == json.loads(capsys.readouterr().out)
    labels = [run["label"] for run in vmdedup.compare_results(small, small, mine=small, kept=first)["runs"]]
    assert labels == ["small", "small-2", "mine", "kept"]
    with pytest.raises(vmdedup.UsageError, match="at least two"):
        vmdedup.compare_results(small)


def test_a_picture(small: vmdedup.Result, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert vmdedup.plot_savings(small, path=tmp_path / "a.svg").read_text().startswith("<?xml")
    assert len(vmdedup.plot_savings(a=small, b=small).axes[0].lines) >= 4


def test_a_recording_of_oneself(tmp_path: Path) -> None:
    outcome = vmdedup.record_memory(f"me=pid:{os.getpid()}:all", tmp_path / "me.rec", interval="10ms", steps=2)
    assert (outcome.steps, outcome.ended) == (2, "complete")
    with pytest.raises(vmdedup.UsageError, match="interval of 0"):
        vmdedup.record_memory("a.raw", tmp_path / "b.rec", interval="0s")


def test_a_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "two.ksm"
    script.write_text("vm a 4\nvm b 4\nfill a 0..3 key 1\nfill b 0..3 key 1\npass 3\ncounters\n")
    assert run_command(["replay", str(script)]) == 0
    said: list[dict[str, Any]] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert vmdedup.replay_script(script) == said
    assert said[0]["pages_sharing"] == 7
    with pytest.raises(vmdedup.UsageError, match="is no machine"):
        vmdedup.replay_script(script, on="moon")


def test_every_column_of_a_run_is_explained(small: vmdedup.Result) -> None:
    for table in ("series", "guests", "matrix", "timing"):
        for column in getattr(small, table).columns:
            assert len(vmdedup.explain(column)) > 3
    assert vmdedup.explain("pages_to_scan") == "pages that ksmd scans before it sleeps (pages)"


def test_the_policies_have_names() -> None:
    assert {"ksm", "esx", "uksm", "none"} <= set(vmdedup.policy_names())
