"""What a run loads: by name what it uses, and not what else there is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# Files of the package that a run's own process loads, without those that only say what a folder is for: at most half
# of the 185 that the same count gave before tables of names were loaded by name.
MOST = 92
CODE = """
import atexit, os, sys
from vmdedup.cli import main
own = os.getpid()
atexit.register(lambda: os.getpid() == own and print(*(
    name for name, module in sys.modules.items()
    if name.startswith("vmdedup.") and not str(module.__file__).endswith("__init__.py")), sep="\\n"))
main()
"""
# Of an emulated run under ksmd, of guests that have no image, in lockstep.
STRANGERS = {"api", "doctor", "dump", "image", "leak", "live", "papers", "recording", "replay", "scan", "subpage"}


def loaded(tmp_path: Path, *arguments: str) -> set[str]:
    """The modules that a command has loaded at its end."""
    command = [sys.executable, "-c", CODE, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    return {line for line in done.stdout.splitlines() if line.startswith("vmdedup.")}


def test_a_run_loads_what_it_uses(tmp_path: Path) -> None:
    run = ("run", "identical", "--guests", "2", "--memory", "4MiB", "--duration", "1s", "--output", "out")
    found = loaded(tmp_path, *run)
    assert {"vmdedup.run.run", "vmdedup.run.backend.emulator", "vmdedup.report.summary"} <= found
    assert not {name for name in found if name.split(".")[1] in STRANGERS}
    assert not {name for name in found if name.startswith("vmdedup.policy.")} - {
        f"vmdedup.policy.{name}" for name in ("base", "ksm", "table", "work")
    }
    assert len(found) <= MOST, sorted(found)


def test_one_command_does_not_load_the_others(tmp_path: Path) -> None:
    found = loaded(tmp_path, "scenario", "list")
    assert "vmdedup.cli.scenario" in found
    assert not {"vmdedup.cli.run", "vmdedup.cli.scan", "vmdedup.cli.live"} & found
