"""Tunables as the kernel shows them: a listing of /sys/kernel/mm/ksm in a scenario and behind --ksm-from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vmdedup.cli import run_command
from vmdedup.cli.run import load_each
from vmdedup.errors import ScenarioError, UsageError
from vmdedup.ksm.sysfs import COUNTERS, TUNABLES
from vmdedup.scenario.listed import listing_of
from vmdedup.scenario.load import load_scenario
from vmdedup.scenario.overrides import Overrides

VALUES = {
    "full_scans": "0",
    "max_page_sharing": "256",
    "merge_across_nodes": "1",
    "pages_shared": "0",
    "pages_to_scan": "1250",
    "run": "1",
    "sleep_millisecs": "20",
    "stable_node_chains_prune_millisecs": "2000",
    "use_zero_pages": "0",
}
WANTED = {name: value for name, value in VALUES.items() if name in TUNABLES}
ADVISED = {**VALUES, "advisor_mode": "none [scan-time]"}
GUEST = "[[guests]]\n"


def listed(folder: Path, values: dict[str, str], form: str = "/sys/kernel/mm/ksm/{}:{}") -> Path:
    """A listing in a file."""
    path = folder / "host.txt"
    path.write_text("".join(form.format(name, value) + "\n" for name, value in values.items()))
    return path


def scenario(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "form", ["/sys/kernel/mm/ksm/{}:{}", "{}:{}", "{} = {}", "{}={}", "{} {}", "{}\t{}", "./{}:{}", "{}: {}\r"]
)
def test_every_form_of_a_listing_is_read(form: str, tmp_path: Path) -> None:
    listing = listing_of(listed(tmp_path, VALUES, form))
    assert listing.tunables == WANTED
    assert listing.counters == ["full_scans", "pages_shared"]


def test_every_file_of_the_kernel_is_known(tmp_path: Path) -> None:
    values = {name: tunable.show(tunable.default) for name, tunable in TUNABLES.items()}
    listing = listing_of(listed(tmp_path, values | dict.fromkeys(COUNTERS, "5")))
    assert listing.tunables == {name: str(t.default) for name, t in TUNABLES.items()} | {"advisor_mode": "none"}
    assert listing.counters == list(COUNTERS)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("run:1\nhello\n", ":2: 'hello' is no tunable; make it by: grep -H"),
        (
            "run:1\n/sys/kernel/mm/ksm/pages_to_scam:7\n",
            ":2: 'pages_to_scam' is neither a tunable nor a counter of KSM; did",
        ),
        ("run:3\n", ":1: run refuses '3': EINVAL; correct the line"),
        ("run:1\nrun:0\n", ":2: run is 1 further up; leave one of them out"),
        ("pages_shared:1\n", ": lists no tunable of KSM; make it by: grep -H"),
        ("", ": lists no tunable"),
        ("x" * (1 << 17), " has more than 64 KiB"),
        ("run:1\npages_to_scan:\n", ":2: 'pages_to_scan:' is no tunable"),
    ],
)
def test_what_is_no_listing_is_one_line(text: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "host.txt").write_text(text)
    with pytest.raises(UsageError) as caught:
        listing_of(tmp_path / "host.txt")
    assert str(caught.value).startswith(f"{tmp_path / 'host.txt'}{complaint}")
    path = scenario(tmp_path, f"[ksm]\nfrom = 'host.txt'\n{GUEST}")
    with pytest.raises(ScenarioError, match=r"mine\.toml:2: key ksm\.from: .*host\.txt"):
        load_scenario(path)


def test_a_scenario_takes_a_listing_under_its_own_keys(tmp_path: Path) -> None:
    listed(tmp_path, VALUES)
    notes: list[str] = []
    path = scenario(tmp_path, f"[ksm]\nfrom = 'host.txt'\nsleep_millisecs = 50\n{GUEST}")
    loaded = load_scenario(path, Overrides(knobs=["run=2"]), say=notes.append)
    assert loaded.ksm.tunables() == WANTED | {"sleep_millisecs": "50", "run": "2"}
    assert notes == [f"{tmp_path / 'host.txt'}: counters are left out (full_scans, pages_shared)"]


def test_the_flag_stands_over_the_scenario_and_set_over_the_flag(tmp_path: Path) -> None:
    listing = listing_of(listed(tmp_path, VALUES))
    path = scenario(tmp_path, f"[ksm]\npages_to_scan = 7\nsleep_millisecs = 50\nsmart_scan = 0\n{GUEST}")
    loaded = load_scenario(path, Overrides(ksm_from=listing, knobs=["sleep_millisecs=9"]))
    assert loaded.ksm.tunables() == WANTED | {"sleep_millisecs": "9", "smart_scan": "0"}


def test_what_the_advisor_sets_is_left_to_it(tmp_path: Path) -> None:
    listing = listing_of(listed(tmp_path, ADVISED))
    notes: list[str] = []
    for text in (GUEST, f"[ksm]\npages_to_scan = 7\n{GUEST}"):
        loaded = load_scenario(scenario(tmp_path, text), Overrides(ksm_from=listing), say=notes.append)
        assert loaded.ksm.advisor_mode == "scan-time"  # type: ignore[attr-defined]
        assert "pages_to_scan" not in loaded.ksm.tunables()
    assert notes[0].endswith("; pages_to_scan is left out, which the advisor sets")
    off = Overrides(ksm_from=listing, knobs=["advisor_mode=none"])
    assert load_scenario(scenario(tmp_path, GUEST), off).ksm.tunables()["pages_to_scan"] == "1250"
    both = Overrides(ksm_from=listing, knobs=["pages_to_scan=9"])
    with pytest.raises(ScenarioError, match="--set pages_to_scan=9: the advisor sets it"):
        load_scenario(scenario(tmp_path, GUEST), both)


@pytest.mark.parametrize("text", ["[none] scan-time", "none [scan-time]"])
def test_a_choice_is_taken_as_the_kernel_shows_it(text: str, tmp_path: Path) -> None:
    wanted = text[text.index("[") + 1 : text.index("]")]
    loaded = load_scenario(scenario(tmp_path, GUEST), Overrides(knobs=[f"advisor_mode={text}"]))
    assert loaded.ksm.tunables() == {"advisor_mode": wanted}
    loaded = load_scenario(scenario(tmp_path, f"[ksm]\nadvisor_mode = '{text}'\n{GUEST}"))
    assert loaded.ksm.tunables() == {"advisor_mode": wanted}


@pytest.mark.parametrize("text", ["[none] [scan-time]", "[]", "[else] none", "none scan-time"])
def test_what_shows_no_choice_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="give none or scan-time"):
        load_scenario(scenario(tmp_path, GUEST), Overrides(knobs=[f"advisor_mode={text}"]))


def test_a_run_says_once_what_it_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    host = listed(tmp_path, VALUES | {"run": "0"})
    said = f"{host}: counters are left out (full_scans, pages_shared); run is 0, so ksmd does not run (--set run=1)"
    plain, path = Overrides(ksm_from=listing_of(host)), str(scenario(tmp_path, GUEST))
    assert len(load_each(path, plain, "ksm,ideal", (), None, quiet=False)) == 2
    assert capsys.readouterr().err.count(said) == 1
    load_each(path, plain, "ksm,ideal", (), None, quiet=True)
    assert capsys.readouterr().err == ""


def test_a_listing_that_is_a_pipe_is_not_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert run_command(["run", "--ksm-from", str(tmp_path / "pipe")]) == 2
    assert "pipe: is a pipe and no file" in capsys.readouterr().err
