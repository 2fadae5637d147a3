"""Whole runs under each policy: in the place of ksmd, by either budget, the same rows every time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.small_runs import SMALL, Watching, run, write
from vmdedup.api.hypervisor import Hypervisor
from vmdedup.errors import ScenarioError, UsageError
from vmdedup.policy.table import POLICIES, load_policy
from vmdedup.result import columns
from vmdedup.result.run import Result
from vmdedup.result.tables import to_parquet
from vmdedup.run.backend.emulator import Emulator
from vmdedup.run.run import COMPLETE
from vmdedup.scenario.load import find_source, load_scenario
from vmdedup.scenario.model import PolicySection
from vmdedup.scenario.overrides import Overrides

pytestmark = pytest.mark.compiled  # several guests at a time need atomic operations

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "patient.py"
NAMES = sorted(POLICIES)


@pytest.fixture(autouse=True)
def checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Host and policy are checked wherever everybody stands: after each row in lockstep, and at the end."""
    for name in ("give_back", "mappings"):
        real = getattr(Emulator, name)

        def check(emulator: Emulator, real: Callable[[Emulator], Any] = real) -> Any:
            emulator.host.check()
            emulator.ksmd.check()
            return real(emulator)

        monkeypatch.setattr(Emulator, name, check)


def under(folder: Path, policy: str, budget: str | None = None, **overrides: Any) -> Result:
    flags = Overrides(policy=policy, budget=budget, costs="operations", **overrides)
    return run(folder, SMALL, flags)


@pytest.fixture(scope="module")
def ideal(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return under(tmp_path_factory.mktemp("ideal"), "ideal")


@pytest.mark.parametrize("name", [*NAMES, str(EXAMPLE)])
def test_each_policy_runs_twice_alike_and_adds_up(name: str, ideal: Result, tmp_path: Path) -> None:
    result, again = under(tmp_path, name), under(tmp_path, name)
    assert result.run["ended"] == COMPLETE
    for table in ("series", "guests", "matrix"):
        assert to_parquet(getattr(result, table)) == to_parquet(getattr(again, table)), table
    best = ideal.series["saved_pages"].to_list()
    for row, most in zip(result.series.iter_rows(named=True), best, strict=True):
        assert row["allocated_pages"] == ideal.series["allocated_pages"][int(row["time_s"])]
        sharing = row["zero_pages"] + row["within_guest_pages"] + row["between_guests_pages"]
        other = row["patch_saved_pages"] + row["compress_saved_pages"] + row["swapped_pages"] + row["filled_pages"]
        assert row["saved_pages"] == row["allocated_pages"] - row["used_pages"]
        assert row["saved_pages"] == pytest.approx(sharing + other - row["held_frames"], abs=0.01)
        if not load_policy(name).below_page:
            assert 0 <= row["saved_pages"] <= most
    last = result.series.row(-1, named=True)
    assert set(columns.SERIES) | set(columns.POLICY) < set(last)
    held = last["held_frames"]
    for column, unowned in (("allocated_pages", 0), ("used_pages", held), ("zero_pages", 0)):
        assert result.guests[column].sum() + unowned == pytest.approx(last[column], abs=0.01)
    assert result.summary["policy"] == result.run["policy"]


def test_the_floor_saves_nothing_and_the_ceiling_all(ideal: Result, tmp_path: Path) -> None:
    floor = under(tmp_path, "none")
    assert floor.series["saved_pages"].to_list() == [0] * 4
    assert floor.series["ksmd_cpu_s"].to_list() == [0.0] * 4
    # The first row is taken before anybody has scanned.
    assert ideal.series["saved_pages"].to_list()[1:] == ideal.series["possible_pages"].to_list()[1:]
    assert ideal.summary["saved_mib"] > 5


def test_ksm_by_name_is_the_plain_ksmd(tmp_path: Path) -> None:
    plain = run(tmp_path)
    named = run(tmp_path, SMALL.replace("[[guests]]", '[policy]\nname = "ksm"\nbudget = "pages"\n[[guests]]'))
    for table in ("series", "guests", "matrix"):
        assert to_parquet(getattr(named, table)) == to_parquet(getattr(plain, table)), table
    assert set(columns.POLICY).isdisjoint(plain.series.columns)
    assert plain.summary["forms"] is None


def test_ksm_charged_by_operations_decides_the_same(tmp_path: Path) -> None:
    plain, charged = run(tmp_path), under(tmp_path, "ksm")
    assert charged.series.select(plain.series.columns).equals(plain.series)
    assert charged.summary["ksmd_cpu_seconds"] == plain.summary["ksmd_cpu_seconds"] > 0


@pytest.mark.parametrize("share", [0.02, 0.1])
def test_a_budget_of_cpu_is_used_up_and_kept_to(share: float, tmp_path: Path) -> None:
    result = under(tmp_path, "ksm", f"cpu={share}")
    for row in result.series.iter_rows(named=True):
        assert row["ksmd_cpu_s"] == pytest.approx(share * row["time_s"], rel=0.05, abs=share * 0.02)


def test_the_schedule_is_the_same_for_all(tmp_path: Path) -> None:
    text = SMALL.replace("pages_to_scan = 1000", "pages_to_scan = 70\nsleep_millisecs = 40\nsmart_scan = 0")
    ksm = run(tmp_path, text, Overrides(policy="ksm", costs="operations"))
    own = run(tmp_path, text, Overrides(policy=str(EXAMPLE)))
    assert own.series["pages_to_scan"][-1] == ksm.series["pages_to_scan"][-1] == 70
    scanned = [result.summary["pages_scanned"] for result in (ksm, own)]
    assert scanned[0] == pytest.approx(scanned[1], rel=0.05)


def test_tunables_reach_the_policy(tmp_path: Path) -> None:
    slow = under(tmp_path, str(EXAMPLE), policy_knobs=["patience=100"])
    assert slow.summary["saved_mib"] == 0
    assert slow.run["scenario"]["policy"]["tunables"] == {"patience": "100"}
    assert slow.run["policy"] == "patient"


def test_in_wall_mode_too(tmp_path: Path) -> None:
    for budget in ("pages", "cpu=20%"):
        result = under(tmp_path, str(EXAMPLE), budget, clock="wall")
        assert result.run["ended"] == COMPLETE
        assert result.summary["saved_mib"] > 0  # how much depends on the machine's other work


def test_whoever_wants_hints_gets_them(tmp_path: Path) -> None:
    own = tmp_path / "curious.py"
    text = EXAMPLE.read_text().replace("class Patient", "class Curious")
    text = text.replace("    tunables: ClassVar", "    wants_hints = True\n    tunables: ClassVar", 1)
    counter = '"hints": int(self.host.arrays.mms["hint_top"].sum()),'
    own.write_text(text.replace('            "full_scans"', f'            {counter}\n            "full_scans"'))
    assert under(tmp_path, str(own)).series["hints"][-1] > 1000


def test_from_python(tmp_path: Path) -> None:
    guests = {"memory": "8MiB", "workload": "idle", "disk": {"kind": "generated", "mib": 16}}
    result = Hypervisor(policy="ideal", seed=3).add(2, **guests).run("1s", watcher=Watching())
    assert result.run["policy"] == "ideal"
    assert result.summary["saved_percent_of_possible"] == 100.0
    section = {"name": str(EXAMPLE), "tunables": {"patience": 4}}
    scenario = Hypervisor(policy=section, cpu="5%").add(1, **guests).scenario()
    assert (scenario.policy.cpu, scenario.policy.tunables) == (0.05, {"patience": 4})


# Scenarios


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ('name = "ksn"', r"small.toml:\d+: key policy.name: unknown policy 'ksn'; did you mean 'ksm'\?"),
        ('name = "gone.py"', "gone.py is no file; give one that defines a policy"),
        ('name = "ideal"\ntunables.patience = 3', "policy.tunables.patience: unknown tunable of ideal; known are"),
        ('name = "ideal"\ntunables.run = 7', "policy.tunables.run: run refuses '7': EINVAL; give a whole number"),
        ('tunables.advisor_mode = "on"', "advisor_mode refuses 'on': EINVAL; give none or scan-time"),
        ('budget = "cpu"', "policy.budget: a budget of CPU is a share of one core; add"),
        ('budget = "pages"\ncpu = "5%"', "policy.cpu: the budget is one of pages; leave one of the two out"),
        ('cpu = "140%"', "policy.cpu: "),
        ('budget = "much"', "policy.budget: 'much' will not do; give 'pages' or 'cpu'"),
        ('name = "none"\ncosts = "page_cost"', "policy.costs: page_cost is for ksm with a budget of pages; leave"),
        ("nmae = 3", "policy.nmae: unknown key; did you mean 'name'"),
    ],
)
def test_a_wrong_section_is_told_with_the_remedy(section: str, complaint: str, tmp_path: Path) -> None:
    text = SMALL.replace("[[guests]]", f"[policy]\n{section}\n[[guests]]")
    with pytest.raises(ScenarioError, match=complaint):
        load_scenario(write(tmp_path, text))


def test_a_policys_file_lies_beside_the_scenario(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(EXAMPLE.read_text())
    scenario = load_scenario(write(tmp_path, SMALL.replace("[[guests]]", '[policy]\nname = "mine.py"\n[[guests]]')))
    assert scenario.policy.name == str(tmp_path / "mine.py")


def test_another_policy_leaves_the_tunables_of_the_first(tmp_path: Path) -> None:
    text = SMALL.replace("[[guests]]", '[policy]\nname = "ksm"\ntunables.smart_scan = 0\n[[guests]]')
    path = write(tmp_path, text)
    assert load_scenario(path, Overrides(policy="ksm")).policy.tunables == {"smart_scan": 0}
    assert load_scenario(path, Overrides(policy="none")).policy.tunables == {}


def test_the_kernel_has_its_own(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the kernel has its own ksmd only; leave the policy out"):
        run(tmp_path, SMALL, Overrides(policy="ideal"), backend="kernel")


def test_the_default_scenario_names_every_key() -> None:
    text = find_source("identical").text
    lines = text[text.index("# [policy]") : text.index("# [policy.tunables]")]
    assert all(f"{key} = " in lines for key in set(PolicySection.model_fields) - {"tunables"})
