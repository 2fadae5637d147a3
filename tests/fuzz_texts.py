"""A fuzzer of recordings and scripts: python tests/fuzz_texts.py [--seconds 600] [--seed N] [recording|script…]

Small valid files are mutated and read, with bounded memory and time; the records of most recordings get right checksums
again, so that what is in them is looked at. All may end in one way only: they are read, and shown without an escape
sequence, or there is an error of one line. A case is known by kind, seed and number.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzz_dumps
import numpy as np
from memory_dumps import page, write_recording
from script_generator import generate_into

from vmdedup.cli.say import say, say_document
from vmdedup.errors import HostError, VmdedupError
from vmdedup.recording import layout
from vmdedup.recording.reader import Recording
from vmdedup.recording.summary import summarise
from vmdedup.replay.emulated import EmulatedMachine
from vmdedup.replay.play import play
from vmdedup.replay.script import parse
from vmdedup.report.recording import lines

ROOM = 768 << 20  # bytes of address space beyond what is loaded
PATIENCE = 20  # seconds of a case
WORDS = ["0", "-1", "9" * 5000, "0x" + "f" * 60, "1e9", "..", "0..", "3..1", "\x1b]0;x\x07", "\u202e", "\0", "é" * 70]
WORDS += ["34359738368", "18446744073709551615", "4294967295", "#", "file", "seed", "key", "+", "vm", "unmap", "pass"]
VALUES: list[Any] = [
    None,
    True,
    -1,
    1 << 31,
    1 << 63,
    10**4000,
    1.5,
    float("nan"),
    "\x1b[2J",
    "\u202e",
    [],
    {},
    [[]] * 50,
    "x" * 9999,
]


def write_script(dice: random.Random, folder: Path) -> Path:
    """A mutated random script."""
    text = generate_into(folder, dice.randrange(200), "small").read_text()
    rows = [line.split(" ") for line in text.splitlines()]
    for _ in range(dice.choice((1, 1, 2, 5))):
        row = dice.choice(rows)
        row[dice.randrange(len(row))] = dice.choice((*WORDS, dice.choice(dice.choice(rows))))
        if dice.random() < 0.3:
            rows.insert(dice.randrange(len(rows)), dice.choice(rows))
    data = "\n".join(map(" ".join, rows)).encode()
    path = folder / "case.ksm"
    path.write_bytes(fuzz_dumps.mutated(data, dice) if dice.random() < 0.3 else data)
    return path


def read_script(path: Path) -> None:
    """Parse and play it, and print what it prints."""
    script = parse(path)
    if script.pages() > 1 << 20 or sum(getattr(step, "times", 0) for step in script.steps) > 1000:
        return  # it may be as large as its user wants
    with EmulatedMachine(script) as machine:
        for line in play(script, machine):
            say(line)


def write_record(dice: random.Random, folder: Path) -> Path:
    """A mutated recording."""
    path = folder / "case.rec"
    sizes = [[dice.randrange(1, 20) for _ in range(3)] for _ in range(2)]
    lives = {
        f"g{n}": [{k: page(dice.randrange(9)) for k in range(most)} for most in row] for n, row in enumerate(sizes)
    }
    write_recording(path, lives, 24)
    data = path.read_bytes()
    path.write_bytes(fuzz_dumps.mutated(data, dice) if dice.random() < 0.4 else rewritten(data, dice))
    return path


def rewritten(data: bytes, dice: random.Random) -> bytes:
    """Some records changed, dropped or doubled, with right checksums."""
    out, at = bytearray(data[:8]), 8
    while (head := layout.unpack_head(data[at : at + layout.RECORD.size])) is not None:
        at += layout.RECORD.size
        payload = data[at : at + head[1]]
        at += head[1]
        if dice.random() < 0.25:
            payload = changed(head[0], payload, dice)
        kind = head[0] if dice.random() < 0.97 else dice.randrange(1, 7)
        out += (layout.pack_head(kind, payload) + payload) * dice.choice((1,) * 20 + (0, 2, 50))
    return bytes(out)


def changed(kind: int, payload: bytes, dice: random.Random) -> bytes:
    """A payload changed: a value of JSON replaced by an odd one, or bytes."""
    if kind not in (layout.HEAD, layout.GUEST, layout.REGIONS, layout.STEP) or dice.random() < 0.2:
        return fuzz_dumps.mutated(payload, dice)
    value = json.loads(payload)
    place = value
    while True:
        key = dice.choice(list(place) if isinstance(place, dict) else range(len(place)))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or dice.random() < 0.2:
            place[key] = dice.choice(VALUES)
            sys.set_int_max_str_digits(0)
            text = json.dumps(value).encode()
            sys.set_int_max_str_digits(4300)
            return text
        place = inner


def read_record(path: Path) -> None:
    """Open it, show what it holds, and read all contents of every step."""
    with Recording(path) as recording:
        summary = summarise(recording)
        for line in lines(summary):
            say(line)
        say_document(summary)
        for guest in range(len(recording.guests)):
            if recording.guests[guest].pages > 1 << 22:
                continue  # it may be as large as its user wants
            for step in range(len(recording.steps)):
                state = recording.state(guest, step)
                for _ in recording.contents(state[np.flatnonzero(state)]):
                    pass


KINDS: dict[str, tuple[Callable[[random.Random, Path], Path], Callable[[Path], None]]] = {
    "recording": (write_record, read_record),
    "script": (write_script, read_script),
}


def run_case(kind: str, seed: int, number: int, folder: Path) -> str:
    """One case: "read", "refused", or a finding, with why."""
    write, read = KINDS[kind]
    path = write(random.Random(f"{kind} {seed} {number}"), folder)
    said = io.StringIO()
    signal.alarm(PATIENCE)
    try:
        with contextlib.redirect_stdout(said):
            read(path)
        outcome = "read"
    except VmdedupError as error:
        with contextlib.redirect_stdout(said):
            say(error)
        if "\n" in str(error) or (len(str(error)) > 1000 and not isinstance(error, HostError)):
            return f"no one line: {error!r}"[:2000]
        outcome = "refused"
    except BaseException:
        return traceback.format_exc()
    finally:
        signal.alarm(0)
    return outcome if said.getvalue().replace("\n", "").isprintable() else "an escape sequence"


def late(number: int, frame: object) -> None:
    """What a case that takes too long ends with."""
    raise TimeoutError(f"takes more than {PATIENCE} s")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], metavar="KIND")
    parser.add_argument("--seconds", type=float, default=600, help="for each kind")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    signal.signal(signal.SIGALRM, late)
    findings = 0
    for kind in options.kinds or KINDS:
        counts: dict[str, int] = {"read": 0, "refused": 0}
        for path in sorted((Path(__file__).parent / "golden").glob("everything-*.ksm")):  # so that all is compiled
            with contextlib.redirect_stdout(io.StringIO()):
                read_script(path)
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + ROOM, resource.RLIM_INFINITY))
        end, number = time.monotonic() + options.seconds, 0
        while time.monotonic() < end:
            with tempfile.TemporaryDirectory(prefix="vmdedup-fuzz-") as name:
                what = run_case(kind, options.seed, number, Path(name))
            if what not in counts:
                findings += 1
                print(f"FINDING {kind} seed {options.seed} case {number}: {what}", flush=True)
            else:
                counts[what] += 1
            number += 1
        print(f"{kind}: {number} cases, {counts['read']} read, {counts['refused']} refused, {findings} findings so far")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
