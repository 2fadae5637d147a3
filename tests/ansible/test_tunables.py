"""The module that sets KSM's tunables, on a folder that looks like the kernel's."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vmdedup.live.provision.playbook import playbook_folder

MODULE = playbook_folder() / "library" / "ksm_tunables.py"
BEFORE = {"run": "0", "pages_to_scan": "100", "sleep_millisecs": "20", "advisor_mode": "[none] scan-time"}
BEFORE |= {"max_page_sharing": "256", "merge_across_nodes": "1", "pages_shared": "0"}

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ansible") is None, reason="Ansible is missing; pip install 'vmdedup[ansible]'"
)


@pytest.fixture
def ksm(tmp_path: Path) -> Path:
    """The folder."""
    folder = tmp_path / "ksm"
    folder.mkdir()
    for name, value in BEFORE.items():
        (folder / name).write_text(value + "\n")
    (folder / "pages_shared").chmod(0o444)
    return folder


def play(ksm: Path, **arguments: object) -> dict[str, Any]:
    """Have Ansible run the module on this machine. Returns what it says."""
    words = {"root": str(ksm), "saved": str(ksm.parent / "saved.json"), **arguments}
    folder = playbook_folder()
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "ANSIBLE_HOME": str(ksm.parent), "PYTHONWARNINGS": "ignore"}
    environment |= {"ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.oneline", "NO_COLOR": "1"}
    code = "from ansible.cli.adhoc import main; main()"
    command = [sys.executable, "-c", code, "localhost", "-c", "local", "-m", "ksm_tunables", "-M", str(MODULE.parent)]
    command += ["-e", f"ansible_python_interpreter={sys.executable}", "-a", json.dumps(words)]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
    answer: dict[str, Any] = json.loads(done.stdout[done.stdout.rindex("=> {") + 3 :])
    return answer


def now(ksm: Path) -> dict[str, str]:
    """The tunables as they are."""
    return {path.name: path.read_text().strip() for path in ksm.iterdir()}


def test_what_differs_is_written_and_run_comes_last(ksm: Path) -> None:
    said = play(ksm, tunables={"run": "1", "pages_to_scan": "5000", "sleep_millisecs": "20"})
    assert said["changed"]
    assert said["written"] == [["pages_to_scan", "5000"], ["run", "1"]]
    assert now(ksm)["pages_to_scan"] == "5000"
    again = play(ksm, tunables={"run": "1", "pages_to_scan": "5000"})
    assert (again["changed"], again["written"]) == (False, [])


def test_what_needs_everything_unmerged_gets_that(ksm: Path) -> None:
    said = play(ksm, tunables={"max_page_sharing": "100", "run": "1"})
    assert said["written"] == [["run", "0"], ["run", "2"], ["max_page_sharing", "100"], ["run", "1"]]


def test_what_was_before_comes_back(ksm: Path) -> None:
    play(ksm, tunables={"pages_to_scan": "5000", "run": "1"})
    play(ksm, tunables={"pages_to_scan": "6000"})
    assert play(ksm, state="restored")["changed"]
    assert now(ksm) == {**BEFORE, "advisor_mode": "[none] scan-time"}
    assert not (ksm.parent / "saved.json").exists()
    assert not play(ksm, state="restored")["changed"]


def test_a_tunable_that_does_not_exist_is_named(ksm: Path) -> None:
    said = play(ksm, tunables={"pages_to_scam": "1"})
    assert "no tunable pages_to_scam; there are" in said["msg"]
    assert now(ksm) == BEFORE
    assert not (ksm.parent / "saved.json").exists()
