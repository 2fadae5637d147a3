"""What starting light is worth to a small scan: python -m benchmarks.start [--rounds N]

`vmdedup scan` of two dumps of 16 MiB, as it is, and with one more thing loaded; each in turn, as a process of its own.
Medians of CPU time, and of the most memory that it had resident.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

RUN = "from vmdedup.cli import main; main()"
FORMS = {
    "as it is": RUN,
    "with typing and dataclasses": f"import typing, dataclasses; {RUN}",
    "with NumPy": f"import numpy; {RUN}",
    "with typer in place of cli.quick": f"from vmdedup.cli import quick; quick.run = lambda arguments: None; {RUN}",
}


def measured(code: str, folder: Path) -> tuple[float, float]:
    """CPU seconds and MiB of one scan."""
    child = os.fork()
    if not child:
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.execv(sys.executable, [sys.executable, "-c", code, "scan", "a", "b"])
    _, status, usage = os.wait4(child, 0)
    assert status == 0
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main() -> None:
    """Measure, and print a line for each form."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    found: dict[str, list[tuple[float, float]]] = {form: [] for form in FORMS}
    with tempfile.TemporaryDirectory() as folder:
        for name in "ab":
            (Path(folder) / name).write_bytes(os.urandom(4096) * 2048 + os.urandom(4096 * 2048))
        for _ in range(rounds + 1):
            for form, code in FORMS.items():
                found[form].append(measured(code, Path(folder)))
    for form, values in found.items():
        seconds, mib = (statistics.median(value[column] for value in values[1:]) for column in (0, 1))
        print(f"{form:34} {1000 * seconds:7.1f} ms of CPU {mib:7.1f} MiB")


if __name__ == "__main__":
    main()
