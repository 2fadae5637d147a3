"""Random scripts: always within the grammar, the same for the same seed, and together they use all of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import get_args

import pytest

from script_generator import FILE_PAGES, generate_into, sample_file
from vmdedup.conform.generator import SIZES, generate
from vmdedup.ksm.sysfs import TUNABLES
from vmdedup.replay import steps
from vmdedup.replay.content import FilePages, Key, Seed, Zero
from vmdedup.replay.machine import Machine
from vmdedup.replay.script import Script, parse, parse_text

METHODS = {"Pass": "full_pass", "Exec": "execute"}
# Steps that every machine can do: of the others, those of nodes are drawn when there are several.
EVERYWHERE = {
    kind for kind in get_args(steps.Step) if METHODS.get(kind.__name__, kind.__name__.lower()) in vars(Machine)
}


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> list[Script]:
    folder = tmp_path_factory.mktemp("scripts")
    return [parse(generate_into(folder, seed, size)) for size in ("small", 4, 1) for seed in range(100)]


def test_together_they_use_every_step_knob_and_content(scripts: list[Script]) -> None:
    everything = [step for script in scripts for step in script.steps]
    assert {type(step) for step in everything} == EVERYWHERE
    stores = {step.knob for step in everything if isinstance(step, steps.Set)}
    assert stores == set(TUNABLES)
    contents = [step.content for step in everything if isinstance(step, steps.Fill)]
    assert {type(content) for content in contents} == {Zero, Key, Seed, FilePages}
    for kind in (Key, Seed):
        assert {content.step for content in contents if isinstance(content, kind)} == {0, 1}


@pytest.mark.parametrize("nodes", [2, 3])
def test_on_several_nodes_processes_are_bound_and_pages_move(nodes: int) -> None:
    scripts = [parse_text(generate(seed, 12, nodes=nodes), Path()) for seed in range(30)]
    everything = [step for script in scripts for step in script.steps]
    assert {type(step) for step in everything} == EVERYWHERE | {steps.Node, steps.Migrate, steps.Nodes}
    assert {step.options.node for step in everything if isinstance(step, steps.Vm)} == set(range(nodes))
    assert {step.node for step in everything if isinstance(step, steps.Migrate)} == set(range(nodes))
    assert {step.everyone for step in everything if isinstance(step, steps.Migrate)} == {True, False}


def test_together_they_go_through_run_in_every_order(scripts: list[Script]) -> None:
    orders = Counter[tuple[str, str]]()
    for script in scripts:
        runs = [step.value for step in script.steps if isinstance(step, steps.Set) and step.knob == "run"]
        orders.update(zip(["1", *runs], runs, strict=False))
    assert {(a, b) for a in "012" for b in "012"} <= set(orders)


def test_the_same_seed_gives_the_same_script() -> None:
    assert generate(7, "small") == generate(7, "small")
    assert generate(7, "small") != generate(8, "small")
    assert sample_file(7) == sample_file(7)


def test_the_first_line_names_the_seed_and_what_is_in_it() -> None:
    assert generate(7, "small").startswith("# seed 7 basic ")


@pytest.mark.parametrize("size", list(SIZES))
def test_sizes_are_kept(size: str) -> None:
    for seed in range(5):
        script = parse_text(generate(seed, size), Path())
        pages = [step.pages for step in script.steps if isinstance(step, steps.Vm)]
        assert SIZES[size].least <= min(pages)
        assert max(pages) <= SIZES[size].most


def test_large_scripts_have_thousands_of_pages() -> None:
    assert max(parse_text(generate(seed, "large"), Path()).pages() for seed in range(5)) > 4000


def test_a_sample_file_ends_in_a_short_page() -> None:
    for seed in range(20):
        size = len(sample_file(seed))
        assert (FILE_PAGES - 1) * 4096 < size < FILE_PAGES * 4096
