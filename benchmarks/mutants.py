"""Do tests notice when one thing in the core is made wrong? Mutation testing of ksm, host and scanner, in Python mode.

    python -m benchmarks.mutants --sample 200 --seed 1
    python -m benchmarks.mutants vmdedup/ksm/rmap.py --sample 50 --json

A copy of the tree is made, and its tests run once, to see which tests run which line and how long each takes. Then one
place at a time is changed (benchmarks/mutations.py), and the tests that run its line are run, quickest first, until one
fails; a constant of a module has all tests. --seconds limits how long they take together: slower ones are left out. A
test that takes ten times as long as usual has failed, too. Printed are the share of changes that a test noticed, and
each that none did. Those that make no difference to what a program does are in benchmarks/equivalent_mutants.toml, with
the reason; they count nowhere. Changes are tried in random order: after Ctrl-C, or --minutes, those tried are a sample.
--known FILE keeps what tests run which line, so that the next run of the same tree need not look again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import tomllib
import traceback
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

from benchmarks.mutations import Mutation, mutations

ROOT: Final = Path(__file__).parent.parent
PACKAGES: Final = ("vmdedup/ksm", "vmdedup/host", "vmdedup/scanner")
TESTS: Final = (
    "tests/host",
    "tests/ksm",
    "tests/scanner",
    "tests/replay/test_golden.py",
    "tests/scenario/test_listing.py",
)
# What only serves processes of its own, which Python mode has none of, as in pyproject.toml; the tables for people.
LEFT_OUT: Final = {
    *(f"vmdedup/host/{name}.py" for name in ("logs", "orphan", "workers")),
    *(f"vmdedup/scanner/{name}.py" for name in ("preload", "process")),
}
EQUIVALENT: Final = Path(__file__).parent / "equivalent_mutants.toml"
COPIED: Final = ("vmdedup", "tests", "benchmarks", "docs", "pyproject.toml", "README.md")
# What is loaded once is no longer rewritten: that is no news.
OPTIONS: Final = [
    *("-q", "-x", "-p", "no:cacheprovider", "-m", "not slow and not kernel and not qemu"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
]
LIBRARIES: Final = ("numpy", "numba", "polars", "pytest", "hypothesis", "coverage")  # loaded once
MOST_MEMORY: Final = 8 << 30  # bytes that a program made wrong may ask for
SLOWER: Final = 10  # times as long as usual, and some seconds, is too long
GRACE: Final = 5.0
KILLED, SLOW, SURVIVED, UNSEEN, EQUAL = "killed", "too slow", "survived", "run by no test", "equivalent"
ALIVE: Final = (SURVIVED, UNSEEN)


@dataclass
class Known:
    """What tests are there. seconds: of each. lines: by file and line, who runs it."""

    seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[str, dict[int, list[str]]] = field(default_factory=dict)

    def of(self, mutation: Mutation, most: float) -> list[str]:
        """The tests that can notice a change, quickest first, as many as take so many seconds."""
        ran = self.lines.get(mutation.path, {})
        names = {name for line in mutation.lines for name in ran.get(line, ())} if mutation.inside else self.seconds
        tests = sorted(names & self.seconds.keys(), key=lambda name: self.seconds[name])
        together = list(accumulate(self.seconds[name] for name in tests))
        return tests[: max(1, bisect_right(together, most))]


class Timed:
    """A plugin of pytest: notes how long tests take, ends a process whose test takes too long, shrinks no examples."""

    def __init__(self, usual: dict[str, float]) -> None:
        self.usual = usual
        self.seconds: dict[str, float] = {}
        self.failed = False

    def pytest_sessionstart(self) -> None:
        """After conftest.py has chosen its profile."""
        hypothesis = import_module("hypothesis")
        phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
        hypothesis.settings.register_profile("once", hypothesis.settings.get_profile("vmdedup"), phases=phases)
        hypothesis.settings.load_profile("once")

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Wind up the clock."""
        if self.usual:
            signal.setitimer(signal.ITIMER_REAL, GRACE + SLOWER * self.usual.get(nodeid, 0.0))

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Take the time. What is left behind in the end may be of others who are at work on the machine."""
        if report.when == "call" and report.passed:
            self.seconds[report.nodeid] = report.duration
        self.failed |= report.failed and "def nothing_is_left" not in report.longreprtext

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Quickest first, whatever the order of files."""
        items.sort(key=lambda item: self.usual.get(item.nodeid, 0.0))


def in_a_child(work: Callable[[], int], seconds: float) -> int:
    """Run something in a process of its own; what it prints goes to `log` in this folder.

    Returns its exit status; -SIGALRM: it took too long.
    """
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        status = 3
        try:
            status = work()
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    return status


def look(tree: Path, tests: Sequence[str], answer: Path) -> Known:
    """Run the tests of the copy once, as it is. answer: the file in which that is kept, or was."""

    def work() -> int:
        import_module("pytest")
        coverage = import_module("coverage")
        watching = coverage.Coverage(data_file=None, include=[f"{tree}/vmdedup/*"], config_file=False)
        timed = Timed({})
        watching.start()
        status = int(import_module("pytest").main([*OPTIONS, *tests], plugins=[timed, Context(watching)]))
        status = 0 if status == 1 and not timed.failed else status
        watching.stop()
        data = watching.get_data()
        lines = {os.path.relpath(path, tree): data.contexts_by_lineno(path) for path in data.measured_files()}
        answer.write_text(json.dumps({"seconds": timed.seconds, "lines": lines}))
        return status

    if not answer.exists() and (status := in_a_child(work, 3600)):
        sys.exit(f"{(tree / 'log').read_text()[-2000:]}\ntests fail without any change (exit status {status})")
    known = json.loads(answer.read_text())
    lines = {path: {int(line): who for line, who in each.items()} for path, each in known["lines"].items()}
    return Known(known["seconds"], lines)


class Context:
    """A plugin of pytest: tells coverage which test runs."""

    def __init__(self, watching: Any) -> None:
        self.watching = watching

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Name it."""
        self.watching.switch_context(nodeid)


def verdict(tree: Path, mutation: Mutation, known: Known, most: float) -> str:
    """Change one place, run the tests that can notice it, and put it back. most: seconds that they take."""
    if (mutation.path, mutation.source, mutation.before, mutation.after) in equivalents():
        return EQUAL
    tests = known.of(mutation, most)
    if not tests:
        return UNSEEN
    path = tree / mutation.path
    sound = path.read_bytes()
    path.write_bytes(mutation.apply(sound))

    def work() -> int:
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
        timed = Timed(known.seconds)
        status = int(import_module("pytest").main([*OPTIONS, *tests], plugins=[timed]))
        return 0 if status == 1 and not timed.failed else status

    try:
        status = in_a_child(work, 60 + SLOWER * sum(known.seconds[name] for name in tests))
    finally:
        path.write_bytes(sound)
    return SURVIVED if status == 0 else SLOW if status == -signal.SIGALRM else KILLED


@cache
def equivalents() -> set[tuple[str, str, str, str]]:
    """File, line, what stands there, and what it is changed to, of those that make no difference."""
    rows = tomllib.loads(EQUIVALENT.read_text())["equivalent"]
    return {(row["file"], row["source"], row["before"], row["after"]) for row in rows}


def sources(places: Sequence[str]) -> Iterator[str]:
    """The files that are changed."""
    for place in places:
        found = sorted((ROOT / place).rglob("*.py")) if (ROOT / place).is_dir() else [ROOT / place]
        yield from (name for path in found if (name := str(path.relative_to(ROOT))) not in LEFT_OUT)


def chosen(places: Sequence[str], sample: int, seed: int) -> list[Mutation]:
    """A sample of all changes, in random order."""
    every = [mutation for path in sources(places) for mutation in mutations(ROOT, path)]
    numbers = random.Random(seed).sample(range(len(every)), min(sample, len(every)))
    return [every[number] for number in numbers]


def copy_tree(tree: Path) -> None:
    """What tests need of the checkout."""
    ignored = shutil.ignore_patterns("__pycache__", "*.nb[ic]")
    for name in COPIED:
        place = ROOT / name
        if place.is_dir():
            shutil.copytree(place, tree / name, ignore=ignored)
        else:
            shutil.copy2(place, tree / name)


def settle(tree: Path) -> None:
    """Everything from here on is the copy's, without compiling and without leaving bytecode."""
    os.environ |= {"NUMBA_DISABLE_JIT": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(tree)}
    sys.dont_write_bytecode = True
    sys.path[:0] = [str(tree)]
    os.chdir(tree)
    for name in LIBRARIES:
        import_module(name)


def report(outcomes: Sequence[tuple[Mutation, str]], seconds: float) -> dict[str, Any]:
    """Counts in all and by package, and what nobody noticed."""
    rows: dict[str, Counter[str]] = {}
    for mutation, outcome in outcomes:
        for name in (mutation.path.rpartition("/")[0], "all"):
            rows.setdefault(name, Counter())[outcome] += 1
    alive = [
        {"outcome": outcome, "file": each.path, "line": each.lines[0], "source": each.source}
        | {"before": each.before, "after": each.after}
        for each, outcome in outcomes
        if outcome in ALIVE
    ]
    return {"counts": {name: dict(row) for name, row in rows.items()}, "alive": alive, "seconds": round(seconds)}


def main() -> None:
    """Try a sample and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("places", nargs="*", metavar="FILE", help=f"files or folders; without: {', '.join(PACKAGES)}")
    parser.add_argument("--sample", type=int, default=200, help="changes that are tried (200)")
    parser.add_argument("--seed", type=int, default=1, help="of the sample (1)")
    parser.add_argument("--minutes", type=float, default=1e9, help="after which no other change is tried")
    parser.add_argument("--known", metavar="FILE", help="where what tests run which line is kept")
    parser.add_argument("--seconds", type=float, default=120, help="of tests, for a change that none notices (120)")
    parser.add_argument("--tests", nargs="+", default=TESTS, metavar="TEST", help="those that should notice")
    parser.add_argument("--json", action="store_true", help="a JSON document")
    options = parser.parse_args()
    tried = chosen(options.places or PACKAGES, options.sample, options.seed)
    kept = Path(options.known).absolute() if options.known else None
    outcomes: list[tuple[Mutation, str]] = []
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, suppress(KeyboardInterrupt):
        tree = Path(folder)
        copy_tree(tree)
        settle(tree)
        known = look(tree, options.tests, kept or tree / "known.json")
        end = time.monotonic() + 60 * options.minutes
        for mutation in tried:
            if time.monotonic() > end:
                break
            outcomes.append((mutation, verdict(tree, mutation, known, options.seconds)))
            if outcomes[-1][1] in ALIVE:
                print(f"{outcomes[-1][1]}: {mutation}", file=sys.stderr, flush=True)
    os.chdir("/")
    document = report(outcomes, time.monotonic() - begin)
    print(json.dumps(document, indent=1) if options.json else table(document))


def table(document: dict[str, Any]) -> str:
    """For people; the changes that nobody noticed have been told already."""
    lines = [f"{'':16} tried killed   share equivalent"]
    for name, row in document["counts"].items():
        tried = sum(row.values()) - row.get(EQUAL, 0)
        killed = row.get(KILLED, 0) + row.get(SLOW, 0)
        lines.append(f"{name:16} {tried:5} {killed:6} {killed / max(1, tried):7.1%} {row.get(EQUAL, 0):10}")
    return "\n".join([*lines, f"{document['seconds']} s"])


if __name__ == "__main__":
    main()
