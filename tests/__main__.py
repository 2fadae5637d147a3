"""The one test command: `python -m tests`. Stops at the first stage that fails, with its exit status.

    system      as root on Debian: installs what tests of real guests need; elsewhere says what is missing
    lint        ruff
    format      ruff, which would lay out no file otherwise
    types       mypy, strict
    compiled    all that needs no more than this machine's processors, but what `bounds` runs, compiled, too
    machine     what needs its KSM or its libvirt: as root on a Linux with KSM, against the kernel's own ksmd
    python      the core (all that has kernels, and recorded scripts) with kernels as plain Python, where every line and
                every step between processes can be seen
    coverage    whether that has seen as much of jit, host and ksm as pyproject.toml asks for
    policies    whether that has seen as much of policy as it should
    bounds      the core compiled with every array index checked, from a cache of its own; it runs beside `machine`,
                which leaves a processor free, and is heard at its turn

The core stages leave out what takes long (mark `slow`) and what needs the kernel's ksmd (mark `kernel`).
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parent.parent
PYTHON = [sys.executable, "-m"]
# Where kernels are, and what plays recorded scripts on them.
FOLDERS, APART = ("jit", "host", "ksm", "policy"), ("slow", "kernel", "guest")
CORE = [*(f"tests/{folder}" for folder in FOLDERS), "tests/replay/test_golden.py"]
CORE += ["tests/scenario/test_listing.py"]
PROCESSORS = min(4, len(os.sched_getaffinity(0)))


def shared(processes: int) -> list[str]:
    """So many processes share the tests, a file at a time, in the order that tests/conftest.py has chosen.

    What needs a thing that a machine has once, its KSM or its libvirt, comes one after another in a stage of its own.
    """
    return ["pytest", "-q", "-n", str(processes), "--dist", "loadfile", "--no-loadscope-reorder"]


SHARED = shared(PROCESSORS)
MACHINE = "kernel or qemu or guest"
POLICIES = "vmdedup/policy/*"
WORKBENCH = "vmdedup/policy/difference_engine/workbench.py"  # is no policy: takes the time of single steps, compiled
HELD = ["--omit", WORKBENCH, "--fail-under", "96"]
REDUCED = ["-m", " and ".join(f"not {mark}" for mark in APART)]
# What `bounds` runs, compiled, too.
BUT_BOUNDS = ["--without", ",".join(FOLDERS), "--but", ",".join(APART)]
# Each stage says for itself how kernels run, whatever the caller's environment has.
COMPILED = {"NUMBA_DISABLE_JIT": "0", "NUMBA_BOUNDSCHECK": "0"}


@dataclass(frozen=True)
class Stage:
    """A command, and variables added to its environment. beside: the stage with which it starts, if that runs too."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=lambda: COMPILED)
    beside: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {shlex.join(self.command[2:])}"

    def run(self) -> int:
        """Run it. Returns its exit status."""
        print(f"\n== {self}", flush=True)
        return self._start(None).wait()

    def aside(self) -> Aside:
        """Start it, to be heard later."""
        told = tempfile.TemporaryFile()  # noqa: SIM115 - Aside closes it
        return Aside(self, self._start(told), told)

    def _start(self, output: IO[bytes] | None) -> subprocess.Popen[bytes]:
        environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
        error = None if output is None else subprocess.STDOUT
        return subprocess.Popen(self.command, cwd=ROOT, env=environment | self.environment, stdout=output, stderr=error)


@dataclass(frozen=True)
class Aside:
    """A stage that runs beside another one."""

    stage: Stage
    process: subprocess.Popen[bytes]
    told: IO[bytes]

    def run(self) -> int:
        """Wait for its end, and print what it has said. Returns its exit status."""
        print(f"\n== {self.stage}", flush=True)
        status = self.process.wait()
        self.told.seek(0)
        sys.stdout.buffer.write(self.told.read())
        sys.stdout.flush()
        return status

    def end(self) -> None:
        """Let it be, if it runs still: an interrupt ends pytest in order, and what it has started."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait()
        self.told.close()


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
    beside = shared(max(1, PROCESSORS - 1))
    return [
        Stage("system", [*PYTHON, "tests.system"]),
        *checks,
        Stage("compiled", [*PYTHON, *SHARED, "--durations=30", *BUT_BOUNDS, "-m", f"not ({MACHINE})"]),
        Stage("machine", [*PYTHON, "pytest", "-q", "-m", MACHINE]),
        Stage("python", [*PYTHON, *SHARED, *REDUCED, "--cov", "--cov-report=", "--cov-fail-under=0", *CORE], python),
        Stage("coverage", [*PYTHON, "coverage", "report", "--omit", POLICIES]),
        Stage("policies", [*PYTHON, "coverage", "report", "--include", POLICIES, *HELD]),
        Stage("bounds", [*PYTHON, *beside, *REDUCED, *CORE], COMPILED | {"NUMBA_BOUNDSCHECK": "1"}, beside="machine"),
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
    wanted = [stage for stage in every if not options.stages or stage.name in options.stages]
    if options.list:
        print(*wanted, sep="\n")
        return 0
    return run(wanted)


def run(wanted: list[Stage]) -> int:
    """Run stages in order until one fails. Returns its exit status, or 0."""
    asides: dict[str, Aside] = {}
    with ExitStack() as stack:
        for stage in wanted:
            for other in wanted:
                if other.beside == stage.name:
                    asides[other.name] = other.aside()
                    stack.callback(asides[other.name].end)
            if status := asides.get(stage.name, stage).run():
                print(f"\n== {stage.name} failed with exit status {status}", file=sys.stderr)
                return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
