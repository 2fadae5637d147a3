"""The player and the comparison, on a machine that only writes down what it is told."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from vmdedup.errors import KnobError, ScriptError
from vmdedup.replay import steps
from vmdedup.replay.compare import Comparison, Difference, render
from vmdedup.replay.emulated import EmulatedMachine
from vmdedup.replay.machine import Machine, WholeMachine
from vmdedup.replay.play import perform, play, runs
from vmdedup.replay.script import parse_text

SCRIPT = """\
vm a 4          # line 1
fill a 0..3 key 7+
poke a 1 10 0x20
read a 0..1
fork a b
mergeable b 0..3
unmergeable b 2
discard a 3
unmap a 2..3
set run 2
set run 3
scan 5
pass
pass 2
counters
exit b

sharing
digest
"""


class Notebook:
    """Fills the Machine protocol; `told` has every call in order."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.told.append((name, *arguments))

    def set(self, knob: str, value: str) -> None:
        self.told.append(("set", knob, value))
        if value == "3":
            raise KnobError(knob, value, "EINVAL")

    def counters(self) -> dict[str, Any]:
        return {"pages_shared": 1, "vms": {"a": {"ksm_rmap_items": 2}}}

    def sharing(self) -> list[list[str]]:
        return [["a:0", "b:0"]]

    def digest(self) -> dict[str, str]:
        return {"a": "00"}

    def kinds(self) -> dict[str, str]:
        return {"a": "kkz", "b": ""}

    def nodes(self) -> dict[str, list[int]]:
        return {"a": [0, 0, -14]}

    def migrate(self, *asked: object) -> tuple[int, list[int]]:
        return 1, [-13, -13, 1]

    def mem(self) -> dict[str, Any]:
        return {"vmstat": {}, "kB": {}}

    def status(self, name: str) -> dict[str, Any]:
        return {"get_memory_merge": 0, "of": name}

    def show(self, file: str) -> str:
        return f"what {file} says"


class Common:
    """A machine that can do what all can, by another one."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def __getattr__(self, name: str) -> Any:
        if name not in vars(Machine):
            raise AttributeError(name)
        return getattr(self.machine, name)


KINDS = get_args(steps.Step)
QUESTIONS: dict[type, dict[str, Any]] = {
    steps.Counters: Notebook().counters(),
    steps.Sharing: {"sharing": [["a:0", "b:0"]]},
    steps.Digest: {"digest": {"a": "00"}},
    steps.Kinds: {"kinds": {"a": "k2 z1", "b": ""}},
    steps.Nodes: {"nodes": {"a": "0x2 -14x1"}},
    steps.Migrate: {"migrate": 1, "status": "-13x2 1x1"},
    steps.Mem: {"vmstat": {}, "kB": {}},
    steps.Status: {"status": {"get_memory_merge": 0, "of": "the name"}},
    steps.Show: {"the file": "what the file says"},
}


def test_what_is_printed() -> None:
    lines = list(play(parse_text(SCRIPT, Path()), Notebook()))
    assert lines == [
        '{"line": 11, "error": "EINVAL"}',
        '{"line": 15, "pages_shared": 1, "vms": {"a": {"ksm_rmap_items": 2}}}',
        '{"line": 18, "sharing": [["a:0", "b:0"]]}',
        '{"line": 19, "digest": {"a": "00"}}',
    ]


def test_what_the_machine_is_told() -> None:
    machine = Notebook()
    list(play(parse_text(SCRIPT, Path()), machine))
    told = [call if call[0] != "fill" else call[:4] for call in machine.told]
    assert told == [
        ("vm", "a", 4, steps.Options()),
        ("fill", "a", 0, 3),
        ("poke", "a", 1, 10, 32),
        ("read", "a", 0, 1),
        ("fork", "a", "b"),
        ("mergeable", "b", 0, 3),
        ("unmergeable", "b", 2, 2),
        ("discard", "a", 3, 3),
        ("unmap", "a", 2, 3),
        ("set", "run", "2"),
        ("set", "run", "3"),
        ("scan", 5),
        ("full_pass", 1),
        ("full_pass", 2),
        ("exit", "b"),
    ]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_kind_of_step_is_one_call_with_what_the_step_says(kind: Any) -> None:
    """Of its name, with all its fields in their order but the line; or it is a question, and answered."""
    names = [name for name in kind.__dataclass_fields__ if name != "line"]
    machine = Notebook()
    answer = perform(kind(line=1, **{name: f"the {name}" for name in names}), machine)
    if kind in QUESTIONS:
        assert answer == QUESTIONS[kind]
    else:
        call = {"Pass": "full_pass", "Exec": "execute"}.get(kind.__name__, kind.__name__.lower())
        assert (machine.told, answer) == ([(call, *(f"the {name}" for name in names))], None)


def test_each_method_of_a_machine_is_a_step() -> None:
    """And the other way round: the protocol has no method that no step calls."""
    called = {{"Pass": "full_pass", "Exec": "execute"}.get(kind.__name__, kind.__name__.lower()) for kind in KINDS}
    methods = {name for name in vars(WholeMachine) | vars(Machine) if not name.startswith("_")}
    assert methods - {"close"} == called


def test_what_is_the_same_several_times_is_said_once() -> None:
    assert runs("kkkaz") == "k3 a1 z1"
    assert runs([1, -13, -13], "x") == "1x1 -13x2"
    assert runs([]) == ""


def test_a_step_that_a_machine_has_nothing_for(tmp_path: Path) -> None:
    script = parse_text("vm a 4\nkinds\n", tmp_path, "s.ksm")
    with EmulatedMachine(script) as whole, pytest.raises(ScriptError, match=r"^s\.ksm:2: 'kinds' is nothing.*--on vm:"):
        list(play(script, Common(whole)))


def test_an_unknown_step_is_an_error() -> None:
    with pytest.raises(TypeError, match="no such step"):
        perform(object(), Notebook())  # type: ignore[arg-type]


def line(number: int, **values: object) -> str:
    return json.dumps({"line": number, **values})


def test_equal_sides_have_no_difference() -> None:
    comparison = Comparison([line(1), line(2)], [line(1), line(2)])
    assert list(comparison) == [line(1), line(2)]
    assert comparison.difference is None


def test_comparison_stops_at_the_first_difference() -> None:
    rest = iter([line(1), line(2, x=1), line(3)])
    comparison = Comparison(rest, iter([line(1), line(2, x=2), line(3)]))
    assert list(comparison) == [line(1)]
    assert comparison.difference == Difference((line(2, x=1), line(2, x=2)))
    assert comparison.difference.line == 2
    assert next(rest) == line(3)  # neither side was asked for more


@pytest.mark.parametrize("longer_is_left", [True, False])
def test_a_missing_line_is_a_difference(longer_is_left: bool) -> None:
    sides = [[line(1), line(4)], [line(1)]]
    comparison = Comparison(*(sides if longer_is_left else sides[::-1]))
    assert list(comparison) == [line(1)]
    assert comparison.difference is not None
    assert comparison.difference.line == 4
    assert "(no such line)" in render(comparison.difference)


def test_counters_side_by_side() -> None:
    left = line(9, pages_shared=1, full_scans=3, vms={"a": {"x": 1}, "b": {"x": 5}})
    right = line(9, pages_shared=2, full_scans=3, vms={"a": {"x": 1}, "b": {"x": 6}})
    assert render(Difference((left, right)), step="counters").splitlines() == [
        "line 9 differs: counters",
        "                emulator  kernel",
        "  line          9         9",
        "* pages_shared  1         2",
        "  full_scans    3         3",
        "* vms.b.x       5         6",
    ]


def test_groups_side_by_side() -> None:
    left = line(9, sharing=[["a:0", "b:0"], ["a:1", "a:2"], ["b:3", "b:4"]])
    right = line(9, sharing=[["a:0", "b:0"], ["a:1", "a:2", "a:3"]])
    text = render(Difference((left, right)), ("oracle", "kernel"))
    assert "a:0" not in text
    assert "* sharing.a:1  a:1 a:2  a:1 a:2 a:3" in text
    assert "* sharing.b:3  b:3 b:4  (no such line)" in text
