"""`vmdedup scan` against duperemove on the same raw dumps: whole commands, in turn, in one run.

    python -m benchmarks.scan
    python -m benchmarks.scan --gib 4 --rounds 3 --json
    python -m benchmarks.scan vm1.raw vm2.raw
    GUEST_MEMORY=folder python -m benchmarks.scan --real

Without dumps, four are made: 40 % of each common to all, in another order, 20 % zeros, 40 % random. Each command is
timed as a process, start included; memory is the most that it had resident in one process. duperemove (Debian:
duperemove) writes its hashes of all pages to a file, which SQLite then counts; scan counts by itself. So two ratios of
time are given: to duperemove alone, and to the answer, duperemove with two queries. The counts of both must be equal. A
ratio is duperemove over vmdedup: more than 1 is better here.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contents import PAGE, SEED, real

DUMPS = 4
MIB = 1 << 20
PEER = ("duperemove", "-b", "4096", "--dedupe-options=partial,nofiemap")
Measured = tuple[float, float, float, bytes]  # seconds, CPU seconds, MiB, stdout
# A process starts with its parent's peak of resident memory as its own, so commands are started by a small one.
LAUNCHER = """
import os, sys, time
start = time.perf_counter()
pid = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(pid, 0)
seconds = time.perf_counter() - start
os.write(int(sys.argv[1]), f"{seconds} {usage.ru_utime + usage.ru_stime} {usage.ru_maxrss}".encode())
sys.exit(os.waitstatus_to_exitcode(status))
"""


def make_dumps(folder: Path, gib: float) -> list[Path]:
    """Synthetic dumps of so many GiB in all."""
    pages = int(gib * (1 << 30)) // PAGE // DUMPS
    draw = np.random.default_rng(SEED)
    common = draw.integers(0, 2**63 - 1, (pages * 2 // 5, PAGE // 8))
    paths = []
    for number in range(DUMPS):
        memory = np.zeros((pages, PAGE // 8), np.int64)
        memory[: len(common)] = common
        own = memory[len(common) : pages - pages // 5]
        own[:] = draw.integers(0, 2**63 - 1, own.shape)
        paths.append(folder / f"vm{number}.raw")
        _write(paths[-1], memory[draw.permutation(pages)].tobytes())
    return paths


def real_dumps(folder: Path) -> list[Path]:
    """Memory of real guests, or what stands for it, as DUMPS files."""
    memory = real(1 << 17)
    paths = [folder / f"guest{number}.raw" for number in range(DUMPS)]
    for path, part in zip(paths, np.array_split(memory, DUMPS), strict=True):
        _write(path, part.tobytes())
    return paths


def _write(path: Path, content: bytes) -> None:
    """To the disk, too: duperemove passes over files that have no blocks there yet."""
    with path.open("wb") as file:
        file.write(content)
        os.fsync(file.fileno())


def run(command: Sequence[str]) -> Measured:
    """Run a command: how long it took, the most memory it had resident, its output."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as figures:
        program = shutil.which(command[0]) or command[0]
        launch = [sys.executable, "-I", "-S", "-c", LAUNCHER, str(figures.fileno()), program, *command[1:]]
        ended = subprocess.run(launch, stdout=output, stderr=subprocess.DEVNULL, pass_fds=[figures.fileno()])
        if ended.returncode:
            raise SystemExit(f"{command[0]} failed with status {ended.returncode}")
        figures.seek(0)
        output.seek(0)
        seconds, cpu, size = map(float, figures.read().split())
        return seconds, cpu, size / 1024, output.read()


def duperemove(dumps: Sequence[str], database: Path) -> Measured:
    """Hash every page, as duperemove does it best."""
    database.unlink(missing_ok=True)
    return run([*PEER, f"--write-hashes={database}", *dumps])


def count_hashes(database: Path, zero: bytes | None) -> dict[str, int]:
    """Pages, distinct ones, duplicates and zeros in duperemove's file."""
    with closing(sqlite3.connect(database)) as connection:
        pages, distinct = connection.execute("select count(*), count(distinct digest) from hashes").fetchone()
        where = "select count(*) from hashes where digest = ?"
        zeros = connection.execute(where, (zero,)).fetchone()[0] if zero else 0
    return {"pages": pages, "distinct": distinct, "duplicates": pages - distinct, "zero": zeros}


def zero_digest(folder: Path) -> bytes:
    """What duperemove makes of a page of zeros."""
    path, database = folder / "zero.raw", folder / "zero.db"
    _write(path, bytes(PAGE * 2))
    duperemove([str(path)], database)
    with closing(sqlite3.connect(database)) as connection:
        found: bytes = connection.execute("select digest from hashes").fetchone()[0]
    return found


def check(document: dict[str, Any], expected: dict[str, int]) -> None:
    """Stop if the counts are not the same."""
    total = document["total"]
    found = {name: total[name] for name in ("pages", "distinct", "zero")} | {"duplicates": total["sharing"]}
    if found != expected:
        raise SystemExit(f"counts differ: {found} here, {expected} from duperemove")


def measure(dumps: Sequence[str], folder: Path, rounds: int) -> dict[str, Any]:
    """Both in turn; medians over the rounds. The first turn of each only warms the page cache."""
    zero, database, ours = zero_digest(folder), folder / "hashes.db", [str(Path(sys.executable).with_name("vmdedup"))]
    scans, peers, queries = [], [], []
    for turn in range(rounds + 1):
        print(f"round {turn} of {rounds}", file=sys.stderr)
        scans.append(run([*ours, "scan", "--json", *dumps]))
        peers.append(duperemove(dumps, database))
        start = time.perf_counter()
        counts = count_hashes(database, zero)
        queries.append(time.perf_counter() - start)
        check(json.loads(scans[-1][3]), counts)
    medians = {
        name: {
            "seconds": round(statistics.median(m[0] for m in measured[1:]), 3),
            "cpu_seconds": round(statistics.median(m[1] for m in measured[1:]), 3),
            "mib": round(statistics.median(m[2] for m in measured[1:]), 1),
        }
        for name, measured in (("vmdedup", scans), ("duperemove", peers))
    }
    counting = statistics.median(queries[1:])
    here, there = medians["vmdedup"], medians["duperemove"]
    return medians | {
        "counts": counts,
        "counting_seconds": round(counting, 3),
        "gib_per_s": round(counts["pages"] * PAGE / (1 << 30) / here["seconds"], 2),
        "ratios": {
            "time": round(there["seconds"] / here["seconds"], 2),
            "answer": round((there["seconds"] + counting) / here["seconds"], 2),
            "cpu": round(there["cpu_seconds"] / here["cpu_seconds"], 2),
            "memory": round(there["mib"] / here["mib"], 2),
        },
        "digest": hashlib.sha256(scans[-1][3]).hexdigest()[:16],
    }


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dumps", nargs="*", metavar="DUMP", help="raw dumps")
    parser.add_argument("--gib", type=float, default=1.0, help="size of the dumps that are made, in all")
    parser.add_argument("--real", action="store_true", help="memory of real guests, see benchmarks/contents.py")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one document")
    options = parser.parse_args()
    if shutil.which(PEER[0]) is None:
        raise SystemExit("duperemove is not installed; on Debian: apt-get install duperemove")
    with tempfile.TemporaryDirectory(prefix="vmdedup-bench-") as name:
        folder = Path(name)
        made = options.dumps or (real_dumps(folder) if options.real else make_dumps(folder, options.gib))
        figures = measure([str(dump) for dump in made], folder, options.rounds)
    if options.json:
        print(json.dumps(figures, sort_keys=True))
        return
    for name in ("vmdedup", "duperemove"):
        row = figures[name]
        print(f"{name:10} {row['seconds']:8.3f} s {row['cpu_seconds']:8.3f} s of CPU {row['mib']:8.1f} MiB")
    ratios = figures["ratios"]
    print(f"ratio      {ratios['time']:8.2f}   {ratios['cpu']:8.2f}          {ratios['memory']:8.2f}")
    print(
        f"ratio to the answer {(ratios['answer']):.2f}: duperemove and {figures['counting_seconds']:.3f} s of counting"
    )
    print(f"equal counts: {', '.join(f'{count:,} {what}' for what, count in figures['counts'].items())}")


if __name__ == "__main__":
    main()
