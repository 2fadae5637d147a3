"""A fuzzer of dump readers: python tests/fuzz_dumps.py [--seconds 600] [--seed N] [--jobs 2] [FORMAT…]

Small valid dumps are mutated (flipped bits, extreme numbers in headers, splices, truncation, duplication), opened and
read to the end, in a child with bounded memory and time. All may end in one way only: the pages, or a DumpError of one
line. Anything else is a finding: it is printed and the dump is kept. A case is known by format, seed and number.
"""

from __future__ import annotations

import argparse
import mmap
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kit.dump_contents import contents
from kit.dump_writers_samples import FORMATS, write_sample
from vmdedup.dump.open import open_dump
from vmdedup.errors import DumpError

Run = Callable[[str, int, int, Path], tuple[str, str]]
ROOM = 512 << 20  # bytes of address space that a case may take, besides what Python and numpy have
PATIENCE = 10.0  # seconds of a case
STARTING, PATIENCE_AT_START = -1, 120.0  # what stands for the number of a case until the child is at the first
HOT = 1024  # bytes from the beginning, where headers are
EXTREMES = [0, 1, 2, 0x7F, 0xFF, 4095, 4096, 65535, 65536, 0xFFFF_FFFF, 1 << 31, (1 << 31) - 1, 1 << 32, 1 << 40]
EXTREMES += [1 << 51, 1 << 52, 1 << 62, 1 << 63, (1 << 63) - 1, (1 << 64) - 1, (1 << 64) - 4096, (1 << 63) - 4096]


def mutated(data: bytes, dice: random.Random) -> bytes:
    """Data after one to four mutations."""
    out = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 4))):
        dice.choice((flip, flip, number, number, number, splice, cut, duplicate, append))(out, dice)
    return bytes(out)


def place(out: bytearray, dice: random.Random) -> int:
    """Somewhere; every second time among the first bytes."""
    return dice.randrange(min(len(out), HOT) if dice.random() < 0.5 else len(out)) if out else 0


def flip(out: bytearray, dice: random.Random) -> None:
    """A few bits become others."""
    for _ in range(dice.choice((1, 1, 3, 8))):
        if out:
            out[place(out, dice)] ^= 1 << dice.randrange(8)


def number(out: bytearray, dice: random.Random) -> None:
    """A field becomes an extreme, or one near to the file's size, or a little more or less."""
    size = dice.choice((1, 2, 4, 8, 8))
    order = dice.choice(("little", "little", "big"))
    at = place(out, dice) // dice.choice((1, size)) * size
    before = int.from_bytes(out[at : at + size], "little")
    value = dice.choice((dice.choice(EXTREMES), len(out) + dice.randrange(-9, 9), before + dice.randrange(-9, 9)))
    value &= (1 << 8 * size) - 1
    out[at : at + size] = value.to_bytes(size, "big" if order == "big" else "little")[: max(len(out) - at, 0)]


def splice(out: bytearray, dice: random.Random) -> None:
    """A piece is put elsewhere, over what was there or between."""
    start, at, length = place(out, dice), place(out, dice), dice.choice((1, 8, 16, 32, 4096, 10000))
    piece = out[start : start + length]
    out[at : at + len(piece) * dice.randrange(2)] = piece


def cut(out: bytearray, dice: random.Random) -> None:
    """The end is missing, or a piece."""
    at = place(out, dice)
    del out[at : at + dice.choice((1, 8, 4096, len(out), len(out)))]


def duplicate(out: bytearray, dice: random.Random) -> None:
    """A piece stands twice or many times."""
    at, length = place(out, dice), dice.choice((1, 9, 24, 32, 56, 4104))
    out[at:at] = out[at : at + length] * dice.choice((1, 1, 20))


def append(out: bytearray, dice: random.Random) -> None:
    """Something follows the end."""
    out += dice.randbytes(dice.choice((1, 8, 4096))) if dice.random() < 0.5 else bytes(dice.choice((1, 4096, 8192)))


def write_case(form: str, seed: int, case: int, folder: Path) -> Path | str:
    """The mutated dump of a number, in an empty folder: what to open."""
    dice = random.Random(f"{form} {seed} {case}")
    opened = write_sample(form, dice.randrange(1000), folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    # Of CRIU's images the small ones hold the tables.
    files = [path for path in files if not path.name.startswith("pages-")] * 4 + files if form == "criu" else files
    path = dice.choice(files)
    path.write_bytes(mutated(path.read_bytes(), dice))
    return opened


def run_case(form: str, seed: int, case: int, folder: Path) -> tuple[str, str]:
    """One case: "pages" or "refused" and the message; "finding" and why."""
    opened = write_case(form, seed, case, folder)
    try:
        with open_dump(opened) as dump:
            pages = contents(dump)
        return "pages", str(len(pages))
    except DumpError as error:
        message = str(error)
        if isinstance(error.__cause__, MemoryError) or "\n" in message or len(message) > 1000:
            return "finding", f"memory, or no one line: {traceback.format_exc()}"
        return "refused", message
    except BaseException:
        return "finding", traceback.format_exc()


def child(form: str, seed: int, first: int, folder: Path, run: Run = run_case) -> None:
    """Cases one after another until killed, or until a finding. Which one it is at stands in the file `progress`.

    If the fuzzer is gone, by Ctrl-C or otherwise, this ends too, and removes the folder.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    with (folder / "progress").open("r+b") as file:
        progress = mmap.mmap(file.fileno(), 8)
    (folder / "first").mkdir()
    run(form, seed, -1, folder / "first")  # whatever libraries set up on first use is no case's
    size = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
    resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, size + ROOM))
    case = first
    while os.getppid() == parent:
        progress[:8] = struct.pack("<q", case)
        work = folder / "case"
        work.mkdir()
        what, why = run(form, seed, case, work)
        if what == "finding":
            sys.exit(why)
        shutil.rmtree(work)
        case += 1
    shutil.rmtree(folder)
    sys.exit()


def fuzz(form: str, seed: int, seconds: float, findings: Path, program: str = __file__) -> tuple[int, int]:
    """Fuzz one format for so long, its cases in children that run this program: cases run, findings."""
    end, case, found = time.monotonic() + seconds, 0, 0
    while time.monotonic() < end:
        with tempfile.TemporaryDirectory(prefix="vmdedup-fuzz-") as name:
            folder = Path(name)
            (folder / "progress").write_bytes(struct.pack("<q", STARTING))
            command = [sys.executable, program, form, "--seed", str(seed), "--child", str(case), "--folder", name]
            with (folder / "errors").open("wb") as errors:
                process = subprocess.Popen(
                    command, stderr=errors, env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "2"}
                )
            case, why = watched(process, folder, end)
            if why:
                found += 1
                text = (folder / "errors").read_text(errors="replace")
                kept = findings / f"{form}-{seed}-{case}"
                print(f"FINDING {form} seed {seed} case {case}: {why}\n{text[-3000:]}\nkept in {kept}", flush=True)
                if (folder / "case").exists():
                    shutil.copytree(folder / "case", kept, symlinks=True, dirs_exist_ok=True)
            case += 1
    return case, found


def watched(process: subprocess.Popen[bytes], folder: Path, end: float) -> tuple[int, str]:
    """Wait until a child ends, hangs, or time is over: the case that it was at, and what was wrong, "" if nothing."""

    def at() -> int:
        return int(struct.unpack("<q", (folder / "progress").read_bytes())[0])

    before, since = at(), time.monotonic()
    try:
        while time.monotonic() < end:
            try:
                return_code = process.wait(timeout=0.2)
                return at(), f"ended with {return_code}"
            except subprocess.TimeoutExpired:
                if at() != before:
                    before, since = at(), time.monotonic()
                patience = PATIENCE_AT_START if before == STARTING else PATIENCE
                if time.monotonic() - since > patience:
                    return at(), f"takes more than {patience} s"
        return at(), ""
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def main(formats: Sequence[str] = FORMATS, run: Run = run_case, program: str = __file__) -> int:
    """The command line of a fuzzer of these formats, of which `program` runs the cases."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("formats", nargs="*", choices=[*formats, []], metavar="FORMAT", help=", ".join(formats))
    parser.add_argument("--seconds", type=float, default=600, help="for each format")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="formats at once")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"), help="where dumps with findings go")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        child(options.formats[0], options.seed, options.child, options.folder, run)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # end at once; children see it
    total = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        forms = options.formats or formats
        results = pool.map(
            lambda form: (form, *fuzz(form, options.seed, options.seconds, options.findings, program)), forms
        )
        for form, cases, found in results:
            print(f"{form}: {cases} cases, {found} findings", flush=True)
            total += found
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
