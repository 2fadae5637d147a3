"""Looks: rates between two of them, samples of frames, and looks at an emulated and at a real host."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmdedup.live.ksm.session import KsmSession
from vmdedup.live.scripts.kernel import KernelMachine
from vmdedup.replay.play import play
from vmdedup.replay.script import parse_text
from vmdedup.report.console import console, print_parts
from vmdedup.report.top import sorted_guests, top_view
from vmdedup.run.clock.desk import Desk
from vmdedup.run.clock.paced import IsOver, Paced
from vmdedup.run.measure.rows import Silent
from vmdedup.run.run import run_scenario
from vmdedup.scenario.load import load_scenario
from vmdedup.scenario.overrides import Overrides
from vmdedup.top import frames as sampling
from vmdedup.top.emulated import EmulatedTop
from vmdedup.top.frames import common_frames
from vmdedup.top.moment import SORTS, Moment, Seen, document


def look(at: float, scanned: int, scans: int, cpu: float) -> Moment:
    """A look at two guests."""
    guests = [Seen("<a>", 512, 400, 256, 0, 1 << 20, 2), Seen("b", 256, 256, 128, 64, None)]
    return Moment(at, "real", {"pages_scanned": scanned, "full_scans": scans}, cpu, guests, {("<a>", "b"): 256})


def test_rates_are_of_the_time_between_two_looks() -> None:
    told = document(look(12, 3000, 6, 1.5), look(10, 1000, 2, 1.4))
    assert told["rates"]["pages_scanned_per_s"] == 1000
    assert told["ksmd_cpu_percent"] == pytest.approx(5)
    assert told["pass_s"] == 0.5
    assert told["rates"]["pages_skipped_per_s"] is None
    assert told["pairs"] == [{"guests": ["<a>", "b"], "shared_mib": 1.0}]
    assert told["guests"][0]["merged_mib"] == 1.0
    first = document(look(10, 1000, 2, 1.4))
    assert (first["rates"]["pages_scanned_per_s"], first["ksmd_cpu_percent"], first["pass_s"]) == (None, None, None)


@pytest.mark.parametrize("sort", SORTS.values())
def test_guests_stand_in_order(sort: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = document(look(10, 1000, 2, 1.4))
    order = [guest["name"] for guest in sorted_guests(told, sort)]
    assert order == (["b", "<a>"] if sort == "zero_mib" else ["<a>", "b"])
    print_parts(console(no_color=True, to_stdout=True), [top_view(told, sort, 1)])
    shown = capsys.readouterr().out
    assert order[0] in shown
    assert "▼" in shown
    assert "<a> and b have 1.0 MiB in common" in shown


@given(st.dictionaries(st.sampled_from("abcd"), st.lists(st.integers(1, 40), max_size=30), max_size=4))
def test_frames_in_common_are_counted(frames: dict[str, list[int]]) -> None:
    pairs, sample = common_frames({name: np.array(found, np.uint64) for name, found in frames.items()})
    assert sample == 1
    counted = {tuple(sorted(pair)): count for pair, count in pairs.items()}
    names = sorted(frames)
    wanted = {(one, two): len(set(frames[one]) & set(frames[two])) for one in names for two in names if one < two}
    assert counted == {pair: count for pair, count in wanted.items() if count}


def test_a_sample_tells_about_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "MOST_FRAMES", 20_000)
    random = np.random.default_rng(1)
    shared = random.choice(1 << 24, 40_000, replace=False).astype(np.uint64)
    found = {"a": shared, "b": shared[:30_000], "c": np.arange(1 << 25, (1 << 25) + 9000).astype(np.uint64)}
    pairs, sample = common_frames(found)
    assert sample == 4
    assert pairs[("a", "b")] == pytest.approx(30_000, rel=0.05)
    assert len(pairs) == 1


@pytest.mark.compiled
def test_a_look_at_an_emulated_host() -> None:
    """Its guests are the run's."""
    scenario = load_scenario("identical", Overrides(guests=3, memory="16MiB", duration="2s"))
    desk, seen = Desk(), list[Moment]()

    @contextmanager
    def visit() -> Iterator[IsOver]:
        done: list[bool] = []

        def look_once() -> None:
            seen.append(EmulatedTop(desk)())
            done.append(True)

        thread = Thread(target=look_once)
        thread.start()
        yield lambda: bool(done)
        thread.join()

    result = run_scenario(scenario, Silent(), logging.NullHandler(), clock=Paced(desk, visit, 100.0, None))
    told = document(seen[0])
    assert [guest["name"] for guest in told["guests"]] == result.guests["guest"].to_list()
    assert {guest["ram_mib"] for guest in told["guests"]} == {16.0}
    assert all(0 < guest["resident_mib"] <= 16 for guest in told["guests"])
    assert told["ksm"]["run"] == 1


@pytest.mark.kernel
def test_a_look_at_real_processes(require_kernel_ksm: KsmSession, tmp_path: Path) -> None:
    """Two processes of a script with 40 merged pages, under the kernel's own ksmd; the look takes none apart."""
    from vmdedup.top.real import RealTop

    script = parse_text("vm a 64\nvm b 64\nfill a 0..63 seed 1+\nfill b 0..39 seed 1+\npass 3\ncounters\n", tmp_path)
    with KernelMachine(require_kernel_ksm) as machine:
        (before,) = list(play(script, machine))
        top = RealTop()
        told = document(top(), top())
        assert sorted(guest["merged_mib"] for guest in told["guests"]) == [40 / 256, 40 / 256]
        assert sorted(guest["resident_mib"] for guest in told["guests"]) == [40 / 256, 64 / 256]
        assert [pair["shared_mib"] for pair in told["pairs"]] == [40 / 256]
        assert told["ksm"]["pages_sharing"] == machine.counters()["pages_sharing"] == 40
    assert '"pages_sharing": 40' in before
