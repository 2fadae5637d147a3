"""The one test command: `python -m tests`. Stops at the first stage that fails, with its exit status.

    system      as root on Debian: installs what tests of real guests need; elsewhere says what is missing
    lint        ruff
    format      ruff, which would lay out no file otherwise
    types       mypy, strict
    compiled    all that needs no more than this machine's processors
    machine     what needs its KSM or its libvirt: as root on a Linux with KSM, against the kernel's own ksmd
    python      the core (all that has kernels, and recorded scripts) with kernels as plain Python, where every line and
                every step between processes can be seen
    coverage    whether that has seen as much of jit, host and ksm as pyproject.toml asks for
    policies    whether that has seen as much of policy as it should
    bounds      the core compiled with every array index checked, from a cache of its own

The core stages leave out what takes long (mark `slow`) and what needs the kernel's ksmd (mark `kernel`).
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYTHON = [sys.executable, "-m"]
# Where kernels are, and what plays recorded scripts on them.
CORE = [*(f"tests/{package}" for package in ("jit", "host", "ksm", "policy")), "tests/replay/test_golden.py"]
CORE += ["tests/scenario/test_listing.py"]
# As many processes as there are processors share the tests, a file at a time; what needs a thing that a machine has
# once, the kernel's KSM or libvirt, comes one after another in a stage of its own.
SHARED = ["pytest", "-q", "-n", str(min(4, len(os.sched_getaffinity(0)))), "--dist", "loadfile"]
SHARED += ["--no-loadscope-reorder"]  # files keep their order, which tests/conftest.py has chosen
MACHINE = "kernel or qemu or guest"
POLICIES = "vmdedup/policy/*"
WORKBENCH = "vmdedup/policy/difference_engine/workbench.py"  # is no policy: takes the time of single steps, compiled
HELD = ["--omit", WORKBENCH, "--fail-under", "96"]
REDUCED = ["-m", "not slow and not kernel and not guest"]
# Each stage says for itself how kernels run, whatever the caller's environment has.
COMPILED = {"NUMBA_DISABLE_JIT": "0", "NUMBA_BOUNDSCHECK": "0"}


@dataclass(frozen=True)
class Stage:
    """A command, and variables added to its environment."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=lambda: COMPILED)

    def __str__(self) -> str:
        return f"{self.name}: {shlex.join(self.command[2:])}"

    def run(self) -> int:
        """Run it. Returns its exit status."""
        print(f"\n== {self}", flush=True)
        environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
        return subprocess.run(self.command, cwd=ROOT, env=environment | self.environment).returncode


def stages(fast: bool) -> list[Stage]:
    """The stages in order; fast: those that take little time."""
    checks = [
        Stage("lint", [*PYTHON, "ruff", "check", "vmdedup", "tests", "benchmarks"]),
        Stage("format", [*PYTHON, "ruff", "format", "--check", "vmdedup", "tests", "benchmarks"]),
        Stage("types", [*PYTHON, "mypy"]),
    ]
    if fast:
        return [
            *checks,
            Stage("compiled", [*PYTHON, *SHARED, "-m", f"not slow and not ({MACHINE})"]),
            Stage("machine", [*PYTHON, "pytest", "-q", "-m", f"not slow and ({MACHINE})"]),
        ]
    python = COMPILED | {"NUMBA_DISABLE_JIT": "1"}
    return [
        Stage("system", [*PYTHON, "tests.system"]),
        *checks,
        Stage("compiled", [*PYTHON, *SHARED, "-m", f"not ({MACHINE})"]),
        Stage("machine", [*PYTHON, "pytest", "-q", "-m", MACHINE]),
        Stage("python", [*PYTHON, *SHARED, *REDUCED, "--cov", "--cov-report=", "--cov-fail-under=0", *CORE], python),
        Stage("coverage", [*PYTHON, "coverage", "report", "--omit", POLICIES]),
        Stage("policies", [*PYTHON, "coverage", "report", "--include", POLICIES, *HELD]),
        Stage("bounds", [*PYTHON, *SHARED, *REDUCED, *CORE], COMPILED | {"NUMBA_BOUNDSCHECK": "1"}),
    ]


def main() -> int:
    """Run the stages that were asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stages", nargs="*", metavar="STAGE", help="run only these")
    parser.add_argument("--fast", action="store_true", help="lint, types, and the compiled suite without slow tests")
    parser.add_argument("--list", action="store_true", help="say what would be run")
    options = parser.parse_args()
    every = stages(options.fast)
    known = [stage.name for stage in every]
    if unknown := set(options.stages) - set(known):
        parser.error(f"no stage {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    for stage in every:
        if options.stages and stage.name not in options.stages:
            continue
        if options.list:
            print(stage)
        elif status := stage.run():
            print(f"\n== {stage.name} failed with exit status {status}", file=sys.stderr)
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
