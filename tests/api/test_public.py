"""The Python face, as the README shows it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import vmdedup
from vmdedup.errors import UsageError

README = Path(__file__).parent.parent.parent / "README.md"

EXAMPLE = """\
import vmdedup

host = vmdedup.Hypervisor(pages_to_scan=1000, use_zero_pages=1, seed=1)
host.add(count=4, memory="64MiB", workload="webdb")
host.add(count=2, memory="64MiB", workload="build", variant={"differs": "30%"})
result = host.run("20s")

print(result.summary["saved_mib"], "MiB saved,", result.summary["saved_percent"], "%")
print(result.series.select("time_s", "pages_shared", "pages_sharing", "general_profit").tail())
result.save("runs/notebook")
"""


def test_the_readme_has_the_example() -> None:
    assert f"```python\n{EXAMPLE}```" in README.read_text()


@pytest.mark.compiled
def test_the_example_runs_as_a_script(tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(EXAMPLE)
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert " MiB saved, " in done.stdout
    assert "general_profit" in done.stdout
    result = vmdedup.open_result(tmp_path / "runs" / "notebook")
    assert isinstance(result.series, pl.DataFrame)
    assert result.series["time_s"].to_list() == [float(second) for second in range(21)]
    assert result.guests["group"].to_list() == ["vm"] * 4 + ["vm2"] * 2
    assert result.summary["saved_mib"] > 0
    assert "MiB saved" in repr(result)


@pytest.mark.parametrize(
    ("keys", "guests", "complaint"),
    [
        ({"pages_to_scna": 1}, {}, r"ksm\.pages_to_scna: unknown key; did you mean 'pages_to_scan'\?"),
        ({}, {"memory": "-1MiB"}, r"guests\[0\]\.memory: .*negative"),
        ({}, {"workload": "dance"}, r"guests\[0\]\.workload: unknown workload"),
        ({"seed": "x"}, {}, "seed: "),
    ],
)
def test_what_cannot_be_meant_is_refused(keys: dict[str, Any], guests: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        vmdedup.Hypervisor(**keys).add(**guests).run("1s")


def test_a_hypervisor_without_guests_is_refused() -> None:
    with pytest.raises(UsageError, match="guests: "):
        vmdedup.Hypervisor().run("1s")


def test_public_names_are_sorted_exist_and_load_nothing_before_use() -> None:
    assert vmdedup.__all__ == sorted(vmdedup.__all__)
    for name in vmdedup.__all__:
        assert getattr(vmdedup, name) is not None
    assert set(vmdedup.__all__) <= set(dir(vmdedup))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = vmdedup.nothing
    code = "import sys, vmdedup; assert not {'numpy', 'numba', 'polars', 'pydantic', 'typer'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
