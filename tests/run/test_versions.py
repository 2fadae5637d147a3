"""Runs whose ksmd is that of another version of Linux."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kit.small_runs import SMALL, run
from vmdedup.errors import ScenarioError, UsageError
from vmdedup.run.backend import kernel
from vmdedup.run.measure.rows import Row
from vmdedup.scenario.load import load_scenario
from vmdedup.scenario.overrides import Overrides

pytestmark = pytest.mark.compiled  # guests run beside each other


def rows(tmp_path: Path, version: str | None, *knobs: str) -> list[Row]:
    """The rows of the small scenario."""
    return run(tmp_path, SMALL, Overrides(kernel=version, knobs=knobs)).series.to_dicts()


def test_a_run_as_an_old_kernel(tmp_path: Path) -> None:
    """Nothing is skipped, so that all that cannot merge is looked for again and again."""
    old, new = rows(tmp_path, "6.1"), rows(tmp_path, "6.18")
    assert new == rows(tmp_path, None)
    assert old[-1]["pages_skipped"] == 0 < new[-1]["pages_skipped"]
    assert old[-1]["pages_unshared"] > new[-1]["pages_unshared"]
    assert old[-1]["saved_pages"] == new[-1]["saved_pages"] > 0


def test_zeros_that_nobody_counts(tmp_path: Path) -> None:
    """Before 6.6 a zero page of ksmd's is one that was only read: freed, and neither counted nor saved."""
    old, new = (rows(tmp_path, version, "use_zero_pages=1")[-1] for version in ("6.1", "6.12"))
    assert old["ksm_zero_pages"] == 0 < new["ksm_zero_pages"]
    assert old["used_pages"] <= new["used_pages"] + 1
    assert old["allocated_pages"] < new["allocated_pages"]


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ('kernel = "6.1"\nsmart_scan = 1', "key ksm.smart_scan: Linux 6.1 has no such file (ENOENT); leave it out"),
        ("kernel = 6.1", 'key ksm.kernel: 6.1 is no text; write a version as "6.1"'),
        ('kernel = "next"', "key ksm.kernel: kernel 'next' is none that is known; give a version from 5.4 on"),
    ],
)
def test_what_is_refused(section: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(SMALL.replace("[ksm]", f"[ksm]\n{section}"))
    with pytest.raises(ScenarioError) as refused:
        load_scenario(tmp_path / "s.toml")
    assert words in str(refused.value)


def test_a_flag_is_named(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(SMALL)
    with pytest.raises(ScenarioError, match=r"^--kernel six: kernel 'six' is none"):
        load_scenario(tmp_path / "s.toml", Overrides(kernel="six"))


def test_what_a_version_has(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(SMALL)

    def tunables(version: str) -> dict[str, Any]:
        return load_scenario(tmp_path / "s.toml", Overrides(kernel=version)).ksm.all_tunables()

    old, new = tunables("6.1.0-28-amd64"), tunables("6.18")
    assert set(new) - set(old) == {name for name in new if name.startswith(("smart_scan", "advisor"))}
    assert old["run"] == new["run"] == "1"


def test_this_machines_kernel_is_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(SMALL)
    with pytest.raises(UsageError, match=r"^ksm\.kernel: .* leave it out, or use the emulator$"):
        kernel.check(load_scenario(tmp_path / "s.toml", Overrides(kernel="6.1")))
