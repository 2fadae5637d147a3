"""What --vary names, and what it makes of a scenario."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmdedup.errors import UsageError
from vmdedup.scenario.alternatives import alternatives
from vmdedup.scenario.load import load_scenario
from vmdedup.scenario.model import Scenario
from vmdedup.scenario.overrides import Overrides

TEXT = """\
[host]
memory = "64MiB"
swap = { kind = "disk", size = "8MiB" }
[ksm]
run = 1
pages_to_scan = 100
[[guests]]
count = 2
memory = "48MiB"
balloon = { target_mib = 40 }
disk = { kind = "generated", mib = 16 }
"""


def as_said(folder: Path, name: str, text: str = TEXT) -> Scenario:
    path = folder / "mine.toml"
    path.write_text(text)
    (alternative,) = alternatives(name)
    return load_scenario(path, Overrides(alternative=alternative))


def means(scenario: Scenario) -> tuple[str | None, str | None, object, object, str]:
    """run, pages_to_scan, reporting, balloon and swap."""
    tunables, group, swap = scenario.ksm.tunables(), scenario.guests[0], scenario.host.swap
    device = f"{swap.kind} {swap.size >> 20}" if swap else ""
    return tunables.get("run"), tunables.get("pages_to_scan"), group.free_page_reporting, group.balloon, device


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("as it was", ("1", "100", None, {"target_mib": 40}, "disk 8")),
        ("none", ("0", "100", None, {}, "")),
        ("ksm", ("1", "100", None, {}, "")),
        ("ksm fast", ("1", "4000", None, {}, "")),
        ("ksm : pages_to_scan=800, smart_scan=0", ("1", "800", None, {}, "")),
        ("reporting", ("0", "100", True, {}, "")),
        ("balloon", ("0", "100", None, {"target_mib": "24576KiB"}, "")),
        ("balloon:16MiB", ("0", "100", None, {"target_mib": "16MiB"}, "")),
        ("zram", ("0", "100", None, {}, "zram 8")),
        ("ksm+zswap:32MiB", ("1", "100", None, {}, "zswap 32")),
        ("as  it was + zram", ("1", "100", None, {"target_mib": 40}, "zram 8")),
        ("as it was+reporting+ksm fast", ("1", "4000", True, {"target_mib": 40}, "disk 8")),
    ],
)
def test_what_an_alternative_makes_of_a_scenario(
    name: str, expected: tuple[str | None, str | None, object, object, str], tmp_path: Path
) -> None:
    assert means(as_said(tmp_path, name)) == expected


def test_swap_is_half_of_the_memory_where_no_size_is_said(tmp_path: Path) -> None:
    without = TEXT.replace('swap = { kind = "disk", size = "8MiB" }\n', "")
    assert means(as_said(tmp_path, "zram", without))[-1] == "zram 32"
    assert means(as_said(tmp_path, "disk", without.replace('[host]\nmemory = "64MiB"\n', "")))[-1] == "disk 48"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("ksm; zarm", "'zarm' is no alternative; did you mean 'zram'?"),
        ("ksm;", "'' is no alternative; write for example"),
        ("ksm; zram; ksm", "names 'ksm' twice; leave one out"),
        ("zram+disk", "'zram+disk' names what does not go together; leave 'disk' out"),
        ("ksm+none", "does not go together; leave 'none' out"),
        ("none+ksm", "does not go together; leave 'ksm' out"),
        ("reporting:5", "nothing can be said of 'reporting' after a colon; leave it out"),
        ("ksm:fast", "'fast' is not KNOB=VALUE; write"),
        ("zram:large", "size 'large' is not a number with a unit; write"),
    ],
)
def test_what_will_not_do_is_one_line_with_a_remedy(text: str, complaint: str) -> None:
    with pytest.raises(UsageError) as refused:
        alternatives(text)
    assert complaint in str(refused.value)


def test_a_tunable_that_ksm_has_not_is_said_with_the_flag(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--vary ksm:pages_to_scna=1: unknown key; did you mean 'pages_to_scan'"):
        as_said(tmp_path, "ksm:pages_to_scna=1")
