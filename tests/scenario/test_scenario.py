"""Scenarios: what is read, what is refused, and that a refusal names file, line, key and remedy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vmdedup.errors import ScenarioError, UsageError
from vmdedup.guest.spec import BalloonSpec
from vmdedup.host.swap_device import SwapDevice
from vmdedup.ksm.sysfs import TUNABLES
from vmdedup.scenario.describe import describe, describe_builtin
from vmdedup.scenario.load import DEFAULT, builtin_names, find_source, load_scenario
from vmdedup.scenario.model import GuestSection, Scenario
from vmdedup.scenario.overrides import Overrides
from vmdedup.scenario.plan import Action, plan

SECOND = 1_000_000_000
SMALL = '[[guests]]\ndisk.kind = "generated"\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def refusal(folder: Path, text: str, overrides: Overrides | None = None) -> str:
    """The message for a scenario that is wrong; always one line, with a remedy after the semicolon."""
    with pytest.raises(UsageError) as caught:
        load_scenario(write(folder, text), overrides)
    message = str(caught.value)
    assert "\n" not in message
    assert ";" in message
    assert caught.value.exit_status == 2
    return message


def test_everything_has_a_default(tmp_path: Path) -> None:
    scenario = load_scenario(write(tmp_path, "[[guests]]\n"))
    assert scenario.name == "mine"
    assert scenario.guest_count == 1
    assert scenario.pages == 32768
    assert scenario.duration == 60 * SECOND
    assert scenario.ksm.tunables() == {}


def test_values_with_units(tmp_path: Path) -> None:
    text = """\
duration = "2min"
[host]
memory = "1.5GiB"
tick = "50ms"
[ksm]
page_cost = "4us"
smart_scan = false
advisor_mode = "scan-time"
[[guests]]
count = 3
memory = "64MiB"
workload = "webdb"
parameters = { workers = 5, read_mib_s = "2MiB/s" }
heap = { zero_pages = 0.5 }
variant = { differs = "20%" }
disk = { kind = "generated", mib = "64MiB" }
start = "one_after_another"
delay = "5s"
"""
    scenario = load_scenario(write(tmp_path, text))
    assert scenario.duration == 120 * SECOND
    assert scenario.host.memory == 3 << 29
    assert scenario.ksm.page_cost == 4000
    assert scenario.ksm.tunables() == {"smart_scan": "0", "advisor_mode": "scan-time"}
    planned = plan(scenario)
    spec = planned.specs[2]
    assert spec.parameters == {"workers": 5, "read_mib_s": 2.0}
    assert spec.heap.zero_pages == 0.5
    assert spec.variant.differs == pytest.approx(0.2)
    assert spec.disk.mib == 64
    assert [action.at for action in planned.actions] == [0, 5 * SECOND, 10 * SECOND]


@pytest.mark.parametrize(
    ("text", "line", "key", "complaint"),
    [
        (SMALL + 'memroy = "1MiB"\n', 3, "guests[0].memroy", "did you mean 'memory'?"),
        ("sead = 1\n[[guests]]\n", 1, "sead", "did you mean 'seed'?"),
        ("[[guests]]\n[host]\ntik = 1\n", 3, "host.tik", "did you mean 'tick'?"),
        ("[[guests]]\n[ksm]\npages_to_scna = 1\n", 3, "ksm.pages_to_scna", "did you mean 'pages_to_scan'?"),
        (SMALL + 'memory = "128MX"\n', 3, "guests[0].memory", "unknown unit 'MX'"),
        (SMALL + 'memory = "128MB"\n', 3, "guests[0].memory", "write MiB"),
        (SMALL + 'memory = "-1MiB"\n', 3, "guests[0].memory", "negative"),
        (SMALL + "memory = 1000000\n", 3, "guests[0].memory", "at least"),
        (SMALL + "memory = 8388609\n", 3, "guests[0].memory", "whole pages"),
        (SMALL + "count = 0\n", 3, "guests[0].count", "at least 1"),
        (SMALL + 'count = "many"\n', 3, "guests[0].count", "integer"),
        (SMALL + 'workload = "biuld"\n', 3, "guests[0].workload", "did you mean 'build'?"),
        (SMALL + 'name = "a b"\n', 3, "guests[0].name", "is no name"),
        (SMALL + 'aslr = "some"\n', 3, "guests[0].aslr", "one of linux, off, pages, bytes"),
        (SMALL + "parameters = { jobs = 1 }\n", 3, "guests[0].parameters.jobs", "unknown key"),
        (SMALL + "boot.processes = -1\n", 3, "guests[0].boot.processes", "out of range"),
        (SMALL + "heap = { pointers = 0.9, text = 0.9 }\n", 3, "guests[0].heap", "must not exceed 1"),
        (SMALL + "[guests.heap]\nzero_pages = 2\n", 4, "guests[0].heap.zero_pages", "from 0 to 1"),
        (SMALL + "[guests.variant]\ndiffers = '20 pct'\n", 4, "guests[0].variant.differs", "share"),
        (SMALL + "disk.size = 1\n", 3, "guests[0].disk.size", "unknown key"),
        (SMALL + "node = 1\n", 3, "guests[0].node", "nodes 0 to 0"),
        (SMALL + 'node = "left"\n', 3, "guests[0].node", "NUMA node"),
        (SMALL + 'name="a"\n[[guests]]\nname="a"\n', 5, "guests[1].name", "used twice"),
        (SMALL + 'events = [{ at = "1s", do = "dance" }]\n', 3, "guests[0].events[0].do", "'pause'"),
        (SMALL + 'events = [{ at = "1s", do = "move" }]\n', 3, "guests[0].events[0].do", "give node"),
        (SMALL + 'events = [{ at = "1s", do = "balloon" }]\n', 3, "guests[0].events[0].do", "give target"),
        (SMALL + 'events = [{ at = "1s", do = "pause", target = 0 }]\n', 3, "guests[0].events[0].target", "only 'ball"),
        (SMALL + 'balloon = { target_mib = "a lot" }\n', 3, "guests[0].balloon.target_mib", "write a size"),
        (SMALL + "free_page_reporting = 1\n", 3, "guests[0].free_page_reporting", "true or false"),
        (SMALL + 'events = [{ at = "1s", do = "pause", node = 0 }]\n', 3, "guests[0].events[0].node", "only 'move'"),
        (SMALL + 'events = [{ at = "1s", do = "move", node = 1 }]\n', 3, "guests[0].events[0].node", "nodes 0 to 0"),
        (SMALL + 'events = [{ at = "1s", do = "move", node = -1 }]\n', 3, "guests[0].events[0].node", "at least 0"),
        (SMALL + '[[guests.events]]\ndo = "pause"\n', 3, "guests[0].events[0].at", "missing"),
        (SMALL + '[[guests.events]]\nat="2min"\ndo="pause"\n', 4, "guests[0].events[0].at", "after the end"),
        (
            SMALL + '[[guests.events]]\nat="2s"\ndo="pause"\nguests=[1]\n',
            6,
            "guests[0].events[0].guests",
            "0 to 0",
        ),
        (SMALL + 'start_at = "2min"\n', 3, "guests[0].start_at", "after"),
        (SMALL + 'count=9\nstart="one_after_another"\ndelay="10s"\n', 5, "guests[0].delay", "after"),
        ('duration = "0s"\n' + SMALL, 1, "duration", "more than 0"),
        ("duration = 60\n" + SMALL, 1, "duration", "has no unit"),
        ('duration = "50ms"\n' + SMALL, 1, "duration", "shorter than one tick"),
        ('clock = "sundial"\n' + SMALL, 1, "clock", "'lockstep' or 'wall'"),
        (SMALL + '[host]\nsample_interval = "150ms"\n', 4, "host.sample_interval", "whole number of ticks"),
        (SMALL + "[ksm]\npages_to_scan = -1\n", 4, "ksm.pages_to_scan", "EINVAL"),
        (SMALL + "[ksm]\nmax_page_sharing = 1\n", 4, "ksm.max_page_sharing", "from 2"),
        (SMALL + '[ksm]\nadvisor_mode = "on"\n', 4, "ksm.advisor_mode", "none or scan-time"),
        (
            SMALL + '[ksm]\nadvisor_mode="scan-time"\npages_to_scan=9\n',
            5,
            "ksm.pages_to_scan",
            "leave it out",
        ),
        ("host = 3\n" + SMALL, 1, "host", "[host]"),
        ('guests = "many"\n', 1, "guests", "list"),
        ("seed = 1\n", 1, "guests", "missing"),
        ("guests = []\n", 1, "guests", "at least 1"),
    ],
)
def test_a_refusal_names_line_key_and_remedy(text: str, line: int, key: str, complaint: str, tmp_path: Path) -> None:
    message = refusal(tmp_path, text)
    assert message.startswith(f"{tmp_path}/mine.toml:{line}: key {key}: ")
    assert complaint in message


def test_several_things_wrong_are_counted_and_the_first_line_comes_first(tmp_path: Path) -> None:
    message = refusal(tmp_path, 'duration = "1x"\n[ksm]\nrun = 3\n' + SMALL + "memry = 1\n")
    assert ":1: key duration: " in message
    assert message.endswith("(and 2 more)")


def test_what_is_no_toml_names_the_line(tmp_path: Path) -> None:
    assert ":2: not TOML: " in refusal(tmp_path, "seed = 1\nthis is not toml\n")
    assert ":2: not TOML: " in refusal(tmp_path, "seed = 1\nx = [1,\n")


def test_names_and_files_that_do_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"no scenario 'identcal'; did you mean 'identical'\?"):
        load_scenario("identcal")
    with pytest.raises(ScenarioError, match="No such file or directory; give"):
        load_scenario(tmp_path / "none.toml")
    with pytest.raises(ScenarioError, match="is a folder; name a file in it; give"):
        load_scenario(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ScenarioError, match="not text"):
        load_scenario(tmp_path / "binary.toml")


@pytest.mark.parametrize("name", builtin_names())
def test_every_scenario_that_comes_with_the_program_is_good(name: str) -> None:
    scenario = load_scenario(name)
    assert scenario.name == name
    assert scenario.title
    assert plan(scenario).actions
    assert re.search(r"seed 1$", describe(scenario))


def test_the_default_scenario_shows_every_key_with_its_default(tmp_path: Path) -> None:
    lines = []
    for line in find_source(DEFAULT).text.splitlines():
        if "[guests.events]" in line:
            break
        shown = re.match(r"# (\[|[a-z_]+ = )", line) is not None
        lines.append("" if line.startswith("# memory") else line[2:] if shown else line)
    (tmp_path / "host.txt").write_text("/sys/kernel/mm/ksm/run:0\n")  # over which the keys of the file stand
    every, usual = load_scenario(write(tmp_path, "\n".join(lines))), load_scenario(DEFAULT)
    assert plan(every) == plan(usual)
    assert every.host == usual.host
    knobs = every.ksm.tunables()
    assert set(knobs) == set(TUNABLES)
    said = usual.ksm.tunables()
    assert all(TUNABLES[name].parse(text) == TUNABLES[name].default for name, text in knobs.items() if name not in said)
    group = set(GuestSection.model_fields) - {"events"}
    assert group <= {word for line in lines for word in re.findall(r"[a-z_]+", line)}


def test_the_default_comes_first_and_says_so() -> None:
    lines = list(describe_builtin())
    assert lines[0].startswith(DEFAULT)
    assert lines[0].endswith("(default)")
    assert len(lines) == len(builtin_names())


def test_flags_change_what_the_file_says(tmp_path: Path) -> None:
    flags = Overrides(6, "64MiB", "webdb", 9, ["run=1", "pages_to_scan=5000"], "90s", "wall")
    scenario = load_scenario(write(tmp_path, SMALL + "workload = 'build'\nparameters.jobs = 3\n"), flags)
    assert scenario.guest_count == 6
    assert scenario.guests[0].memory == 64 << 20
    assert (scenario.guests[0].workload, scenario.guests[0].parameters) == ("webdb", {})
    assert (scenario.seed, scenario.duration, scenario.clock) == (9, 90 * SECOND, "wall")
    assert scenario.ksm.tunables() == {"pages_to_scan": "5000", "run": "1"}
    assert list(scenario.ksm.tunables()) == ["pages_to_scan", "run"]


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (Overrides(guests=0), "--guests 0: a run needs a guest; give at least 1"),
        (Overrides(memory="-1MiB"), "--memory: size '-1MiB' is negative"),
        (Overrides(workload="dance"), "--workload: unknown workload 'dance'"),
        (Overrides(duration="10"), "--duration: duration '10' has no unit"),
        (Overrides(knobs=["pages_to_scan"]), "--set 'pages_to_scan' is not KNOB=VALUE"),
        (
            Overrides(knobs=["pages_to_scna=1"]),
            "--set pages_to_scna=1: unknown key; did you mean 'pages_to_scan'?",
        ),
        (Overrides(knobs=["run=7"]), "--set run=7: run refuses '7': EINVAL"),
        (Overrides(seed=-1), "--seed: -1 will not do"),
    ],
)
def test_a_flag_that_is_wrong_is_named_instead_of_the_file(flags: Overrides, complaint: str, tmp_path: Path) -> None:
    assert refusal(tmp_path, SMALL, flags).startswith(complaint)


def test_guests_are_shared_out_in_proportion_and_events_follow(tmp_path: Path) -> None:
    text = """\
[[guests]]
name = "a"
count = 6
[[guests]]
name = "b"
count = 3
[[guests.events]]
at = "1s"
do = "leave"
guests = [0, 2]
"""
    path = write(tmp_path, text)

    def counts(total: int) -> list[int]:
        return [group.count for group in load_scenario(path, Overrides(guests=total)).guests]

    assert [counts(total) for total in (2, 3, 9, 12)] == [[1, 1], [2, 1], [6, 3], [8, 4]]
    assert load_scenario(path, Overrides(guests=3)).guests[1].events[0].guests == [0]
    with pytest.raises(UsageError, match="2 groups of guests; give at least 2"):
        load_scenario(path, Overrides(guests=1))


def test_guests_have_names_seeds_and_nodes_of_their_own(tmp_path: Path) -> None:
    text = "[host]\nnuma_nodes = 2\n[[guests]]\ncount = 3\n[[guests]]\nname = 'one'\nnode = 1\n"
    planned = plan(load_scenario(write(tmp_path, text)))
    assert [spec.name for spec in planned.specs] == ["vm-0", "vm-1", "vm-2", "one"]
    assert [spec.node for spec in planned.specs] == [0, 1, 0, 1]
    assert len({spec.seed for spec in planned.specs}) == 4
    assert planned.groups == ("vm", "vm", "vm", "one")


def test_a_host_swaps_to_a_device(tmp_path: Path) -> None:
    def device(text: str) -> SwapDevice:
        swap = load_scenario(write(tmp_path, f"{SMALL}[host]\nswap = {{ {text} }}\n")).host.swap
        assert swap is not None
        return swap.device

    assert device("kind = 'zram', size = '1GiB'") == SwapDevice("zram", 1 << 30)
    assert device("kind = 'zswap', size = '1MiB', pool = '64KiB'") == SwapDevice("zswap", 1 << 20, 1 << 16)
    assert load_scenario(write(tmp_path, SMALL)).host.swap is None
    for text, complaint in (
        ("kind = 'tape', size = '1GiB'", "'tape' will not do; give 'disk', 'zram' or 'zswap'"),
        ("kind = 'disk'", "this key is missing; add it"),
        ("kind = 'disk', size = '1KiB'", "give at least 4096"),
        ("kind = 'zram', size = '1GiB', pool = '1MiB'", "only zswap has a pool of its own; leave it out of zram"),
    ):
        with pytest.raises(UsageError, match=re.escape(complaint)):
            device(text)


def test_one_release_for_a_group_or_one_for_each(tmp_path: Path) -> None:
    def seeds(variants: str) -> set[int]:
        text = f"[[guests]]\ncount = 3\nvariants = '{variants}'\nvariant.differs = 0.1\n"
        return {spec.variant.seed for spec in plan(load_scenario(write(tmp_path, text))).specs}

    assert (len(seeds("shared")), len(seeds("own"))) == (1, 3)


def test_events_become_actions_in_order(tmp_path: Path) -> None:
    text = SMALL + 'count = 2\n[[guests.events]]\nat="9s"\ndo="resume"\n[[guests.events]]\nat="3s"\ndo="pause"\n'
    actions = plan(load_scenario(write(tmp_path, text))).actions
    assert actions[2:] == tuple(
        Action(at * SECOND, do, guest) for at, do in ((3, "pause"), (9, "resume")) for guest in (0, 1)
    )


def test_what_guests_give_back(tmp_path: Path) -> None:
    text = SMALL + 'free_page_reporting = true\nballoon = { target_mib = "64MiB", pulse_every_s = "1min" }\n'
    text += 'events = [{ at = "2s", do = "balloon", target = "96MiB" }]\n'
    planned = plan(load_scenario(write(tmp_path, text)))
    assert planned.specs[0].free_page_reporting
    assert planned.specs[0].balloon == BalloonSpec(target_mib=64, pulse_every_s=60)
    assert planned.actions[-1] == Action(2 * SECOND, "balloon", 0, target=96 << 20)


def test_a_guest_is_moved_to_a_node(tmp_path: Path) -> None:
    text = SMALL + 'events = [{ at = "2s", do = "move", node = 1 }]\n[host]\nnuma_nodes = 2\n'
    assert plan(load_scenario(write(tmp_path, text))).actions[-1] == Action(2 * SECOND, "move", 0, 1)


def test_disk_paths_start_at_the_scenario_file(tmp_path: Path) -> None:
    scenario = load_scenario(write(tmp_path, "[[guests]]\ndisk.path = 'image'\n"))
    assert plan(scenario).specs[0].disk.path == f"{tmp_path}/image"
    assert plan(load_scenario(write(tmp_path, "[[guests]]\ndisk.path = '/usr'\n"))).specs[0].disk.path == "/usr"


def test_a_scenario_goes_through_json_and_back() -> None:
    scenario = load_scenario(DEFAULT)
    assert Scenario.model_validate_json(scenario.model_dump_json()) == scenario
