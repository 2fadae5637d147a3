"""Every tunable takes and refuses what the kernel's file does: one contract, for the emulator and the kernel.

The answers are those of Linux 6.18.44 to each write.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import pytest

from vmdedup.errors import KnobError
from vmdedup.host.memory import Host
from vmdedup.ksm.ksmd import Ksmd
from vmdedup.ksm.profile import profile
from vmdedup.ksm.sysfs import COUNTERS, PROCESS_COUNTERS, START, TUNABLES, in_turn
from vmdedup.live.ksm.session import KsmSession
from vmdedup.live.ksm.sysfs import KsmFiles
from vmdedup.live.scripts.kernel import KernelMachine
from vmdedup.replay.content import Key
from vmdedup.replay.emulated import EmulatedMachine
from vmdedup.replay.machine import Machine
from vmdedup.replay.script import parse_text

Answer = str  # what the file reads afterwards, or the name of the errno

U32 = "4294967295"
U64 = "18446744073709551615"
HUGE = "99999999999999999999999"
TRUTHS = {"1": "1", "y": "1", "Yes": "1", "t": "1", "true": "1", "on": "1", "ON": "1", "onx": "1", "10": "1"}
TRUTHS |= {"0": "0", "n": "0", "no": "0", "F": "0", "off": "0", "of": "0", "0x1": "0", "none": "0", "1_0": "1"}
TRUTHS |= dict.fromkeys(["2", "-1", "+1", "o", "oh", "x", " 1"], "EINVAL")
NUMBERS = {"0": "0", "+7": "7", "007": "7", U32: U32}
NUMBERS |= dict.fromkeys(
    ["4294967296", "-1", "-0", "++1", "0x10", "1e3", "1_0", "٣", HUGE, "1 ", " 1", "7\n\n"], "EINVAL"
)
LONG = {"0": "0", U64: U64} | dict.fromkeys(["-1", "18446744073709551616", "y", "0x10", HUGE], "EINVAL")

TABLE: dict[str, dict[str, Answer]] = {
    "smart_scan": TRUTHS,
    "use_zero_pages": TRUTHS,
    "run": {"0": "0", "+2": "2", "002": "2", "1": "1"} | dict.fromkeys(["3", "-1", "4294967296", "x"], "EINVAL"),
    "pages_to_scan": NUMBERS,
    "sleep_millisecs": NUMBERS,
    "stable_node_chains_prune_millisecs": NUMBERS,
    "max_page_sharing": {"2": "2", "+3": "3", "2147483647": "2147483647"}
    | dict.fromkeys(["1", "0", "-0", "-5", "-2147483648", "0x10", "x"], "EINVAL")
    | dict.fromkeys(["2147483648", "-2147483649", HUGE], "ERANGE"),
    "merge_across_nodes": {"0": "0", "01": "1"}
    | dict.fromkeys(["2", "-1", "y", U64], "EINVAL")
    | {"18446744073709551616": "ERANGE"},
    "advisor_max_cpu": {"0": "0", "100": "100", "4294967296": "0", U64: U32}
    | dict.fromkeys(["-1", "18446744073709551616"], "EINVAL"),
    "advisor_min_pages_to_scan": LONG,
    "advisor_max_pages_to_scan": LONG,
    "advisor_target_scan_time": LONG | {"0": "EINVAL", "1": "1"},
    "advisor_mode": {"scan-time": "[scan-time]", "none": "[none]"}
    | dict.fromkeys(["0", "Scan-time", "nonee", "scan-tim", " none"], "EINVAL"),
}
WRITES = [(knob, text, expected) for knob, answers in TABLE.items() for text, expected in answers.items()]
WRITES += [(knob, f"{text}\n", expected) for knob, text, expected in WRITES if len(expected) < 4]


class Files(Protocol):
    """A folder of tunables."""

    def write(self, knob: str, text: str) -> None:
        """Raises KnobError with the errno."""

    def text(self, knob: str) -> str:
        """What the file reads."""


class EmulatedFiles:
    """The emulator's tunables as files."""

    def __init__(self) -> None:
        self.host = Host.create(pages=1)
        self.ksmd = Ksmd(self.host)

    def write(self, knob: str, text: str) -> None:
        """As echo -n text > knob."""
        self.ksmd.set(knob, text)

    def text(self, knob: str) -> str:
        """As cat knob."""
        return TUNABLES[knob].show(self.ksmd.get(knob))


@pytest.fixture(scope="module", params=["emulator", pytest.param("kernel", marks=pytest.mark.kernel)])
def files(request: pytest.FixtureRequest) -> Iterator[Files]:
    """Both backends; the kernel's files are put back by the session."""
    if request.param == "emulator":
        emulated = EmulatedFiles()
        yield emulated
        emulated.host.close()
        return
    session: KsmSession = request.getfixturevalue("require_kernel_ksm")
    session.start_state()
    yield session.files
    session.files.write("advisor_mode", "none")


@pytest.mark.parametrize(("knob", "text", "expected"), WRITES)
def test_a_write_is_taken_or_refused(files: Files, knob: str, text: str, expected: Answer) -> None:
    skip_if_missing(files, knob)
    before = files.text(knob)
    if expected.startswith("E"):
        with pytest.raises(KnobError, match=knob) as refused:
            files.write(knob, text)
        assert refused.value.errno_name == expected
        assert files.text(knob) == before
    else:
        files.write(knob, text)
        shown = files.text(knob)
        assert expected in shown.split(), shown


def skip_if_missing(files: Files, knob: str) -> None:
    """A kernel without NUMA has no merge_across_nodes."""
    if isinstance(files, KsmFiles) and not files.has(knob):
        pytest.skip(f"this kernel's KSM has no {knob}")


def test_the_advisor_keeps_others_from_pages_to_scan(files: Files) -> None:
    files.write("advisor_min_pages_to_scan", "7")
    files.write("advisor_mode", "scan-time")
    assert files.text("pages_to_scan") == "7"
    with pytest.raises(KnobError) as refused:
        files.write("pages_to_scan", "5")
    assert refused.value.errno_name == "EINVAL"
    files.write("advisor_min_pages_to_scan", "500")
    assert files.text("pages_to_scan") == "7"  # a start value, not a floor
    files.write("advisor_mode", "scan-time")
    assert files.text("pages_to_scan") == "7"  # nothing starts again
    files.write("advisor_mode", "none")
    assert files.text("pages_to_scan") == "100"
    files.write("pages_to_scan", "5")


SCRIPT = "vm a 4\nvm b 4\n"


@pytest.fixture(params=["emulator", pytest.param("kernel", marks=pytest.mark.kernel)])
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """Both machines that scripts are played on."""
    if request.param == "emulator":
        with EmulatedMachine(parse_text(SCRIPT, request.path.parent)) as emulated:
            yield emulated
        return
    session = request.getfixturevalue("require_kernel_ksm")
    with KernelMachine(session) as kernel:
        yield kernel


@pytest.mark.parametrize(("knob", "text"), [("max_page_sharing", "3"), ("merge_across_nodes", "0")])
def test_the_trees_are_not_rearranged_under_merged_pages(machine: Machine, knob: str, text: str) -> None:
    if isinstance(machine, KernelMachine) and not KsmFiles().has(knob):
        pytest.skip(f"this kernel's KSM has no {knob}")
    machine.vm("a", 4)
    machine.fill("a", 0, 3, Key(1))
    machine.full_pass(2)
    assert machine.counters()["pages_sharing"] == 3
    with pytest.raises(KnobError) as refused:
        machine.set(knob, text)
    assert refused.value.errno_name == "EBUSY"
    machine.set(knob, str(TUNABLES[knob].default))  # what it is already may be written
    machine.set("run", "2")
    machine.set(knob, text)
    machine.set("run", "1")
    machine.full_pass(2)
    assert machine.counters()["pages_sharing"] == (2 if knob == "max_page_sharing" else 3)


def test_a_node_that_nobody_counts_but_somebody_maps_is_in_the_way_too(machine: Machine) -> None:
    """A fork's child that was never advised maps a merged page, of which run=2 leaves no counter but the node."""
    machine.vm("a", 2)
    machine.fill("a", 0, 1, Key(1))
    machine.fork("a", "b")
    machine.unmergeable("b", 0, 1)
    machine.full_pass(2)
    machine.set("run", "2")
    assert machine.counters()["pages_shared"] == 0
    with pytest.raises(KnobError) as refused:
        machine.set("max_page_sharing", "3")
    assert refused.value.errno_name == "EBUSY"
    machine.exit("b")
    machine.set("max_page_sharing", "3")


@pytest.mark.parametrize(
    ("names", "before", "since"),
    [
        (("ksm_merging_pages", "ksm_rmap_items", "cow_ksm"), "5.18", "5.19"),
        (("general_profit", "ksm_process_profit"), "6.3", "6.4"),
        (("ksm_zero_pages", "pages_scanned"), "6.5", "6.6"),
        (("smart_scan", "pages_skipped"), "6.6", "6.7"),
        (("advisor_mode", "advisor_max_cpu", "advisor_target_scan_time"), "6.7", "6.8"),
    ],
)
def test_files_are_there_since_their_version(names: tuple[str, ...], before: str, since: str) -> None:
    assert [profile(before).has(name) for name in names] == [False] * len(names)
    assert [profile(since).has(name) for name in names] == [True] * len(names)


def test_everything_is_declared_once_with_its_unit() -> None:
    for name, tunable in TUNABLES.items():
        assert (tunable.name, bool(tunable.meaning)) == (name, True)
        assert tunable.parse(str(tunable.default) if tunable.kind != "mode" else "none") == tunable.default
    for counters in (COUNTERS, PROCESS_COUNTERS):
        assert all((counter.name, bool(counter.meaning)) == (name, True) for name, counter in counters.items())


@pytest.mark.kernel
def test_the_kernel_has_the_same_files(require_kernel_ksm: KsmSession) -> None:
    """A newer kernel may have more; one without NUMA lacks one."""
    present = {path.name for path in require_kernel_ksm.files.root.iterdir()}
    assert set(TUNABLES) - present <= {"merge_across_nodes"}
    assert set(COUNTERS) <= present


@pytest.mark.kernel
def test_the_kernel_boots_with_the_same_defaults(require_kernel_ksm: KsmSession) -> None:
    """As far as they are visible after a script's start state has been set up."""
    require_kernel_ksm.start_state()
    for knob in ("max_page_sharing", "stable_node_chains_prune_millisecs", "advisor_max_cpu"):
        assert require_kernel_ksm.files.read(knob) == TUNABLES[knob].default


def test_an_unknown_tunable_is_refused() -> None:
    files = EmulatedFiles()
    with pytest.raises(KnobError, match="ENOENT"):
        files.write("pages_to_scna", "1")
    files.write("run", "")  # a write of no bytes reaches no file
    assert files.text("run") == "0"
    files.host.close()


def test_what_kernels_look_at_is_in_their_record_from_the_start() -> None:
    host = Host.create(pages=1)
    try:
        ksmd = Ksmd(host)
        for name, tunable in TUNABLES.items():
            assert not tunable.state or ksmd.arrays.st[0][tunable.state] == ksmd.get(name), name
    finally:
        host.close()


def test_tunables_have_their_turn() -> None:
    """First what asks that nothing is merged, last what overwrites others, and what starts ksmd."""
    order = in_turn(sorted(TUNABLES))
    assert order[:2] == ["max_page_sharing", "merge_across_nodes"]
    assert order[-2:] == ["advisor_mode", "run"]
    assert in_turn(["run", "of a later kernel", "max_page_sharing"]) == ["max_page_sharing", "of a later kernel", "run"]


def test_a_script_starts_with_smart_scan_off_and_ksmd_running() -> None:
    differ = {name: text for name, text in START.items() if TUNABLES[name].parse(text) != TUNABLES[name].default}
    assert differ == {"smart_scan": "0", "run": "1"}
    assert list(START) == in_turn(TUNABLES)
