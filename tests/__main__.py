"""The one test command: `python -m tests`. Stops at the first stage that fails, with its exit status.

    lint        ruff
    types       mypy, strict
    compiled    the whole suite; as root on a Linux with KSM also against the kernel's own ksmd
    python      kernels as plain Python, where every line can be seen: with the coverage that pyproject.toml asks for
    bounds      compiled with every array index checked

The last two leave out what needs several processes, or too much work for them (marks `compiled` and `slow`).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent
REDUCED = ["-m", "not compiled and not slow and not kernel"]
PYTEST = [sys.executable, "-m", "pytest", "-q"]


@dataclass(frozen=True)
class Stage:
    """Commands that are run one after another, with variables added to the environment."""

    name: str
    commands: list[list[str]]
    environment: dict[str, str] = field(default_factory=dict)


STAGES = [
    Stage("lint", [[sys.executable, "-m", "ruff", "check", "vmdedup", "tests", "benchmarks"]]),
    Stage("types", [[sys.executable, "-m", "mypy"]]),
    Stage("compiled", [PYTEST]),
    Stage(
        "python",
        [
            [sys.executable, "-m", "coverage", "run", "-m", "pytest", "-q", *REDUCED],
            [sys.executable, "-m", "coverage", "report"],
        ],
        {"NUMBA_DISABLE_JIT": "1"},
    ),
    Stage("bounds", [[*PYTEST, *REDUCED]], {"NUMBA_BOUNDSCHECK": "1"}),
]
FAST = ("lint", "types", "compiled")


def run(stage: Stage, extra: list[str]) -> int:
    """Run a stage. Returns the exit status of the command that failed, or 0."""
    start = time.monotonic()
    for command in stage.commands:
        print(f"== {stage.name}: {' '.join(command[2:] + extra)}", flush=True)
        status = subprocess.run([*command, *extra], cwd=ROOT, env={**os.environ, **stage.environment}).returncode
        if status:
            print(f"== {stage.name} failed with status {status}", flush=True)
            return status
    print(f"== {stage.name}: {time.monotonic() - start:.0f} s", flush=True)
    return 0


def main() -> int:
    """Run the stages that were asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stages", nargs="*", metavar="STAGE", help="run only these")
    parser.add_argument("--fast", action="store_true", help="lint, types, and the compiled suite without slow tests")
    options = parser.parse_args()
    known = [stage.name for stage in STAGES]
    if unknown := set(options.stages) - set(known):
        parser.error(f"no stage {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    wanted = options.stages or (FAST if options.fast else known)
    for stage in STAGES:
        if stage.name in wanted:
            extra = ["-m", "not slow"] if options.fast and stage.name == "compiled" else []
            if status := run(stage, extra):
                return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
