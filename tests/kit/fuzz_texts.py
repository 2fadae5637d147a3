"""Recordings and scripts for the fuzzer of documents: small valid ones, changed, and what reads them.

The records of most recordings get right checksums again, so that what is in them is looked at.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np

from fuzz_dumps import mutated
from kit.memory_dumps import page, write_recording
from script_generator import generate_into
from vmdedup.recording import layout
from vmdedup.recording.reader import Recording
from vmdedup.recording.summary import summarise
from vmdedup.replay.emulated import EmulatedMachine
from vmdedup.replay.play import play
from vmdedup.replay.script import parse
from vmdedup.report.recording import lines
from vmdedup.shown import json_text, shown_lines

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
    path.write_bytes(mutated(data, dice) if dice.random() < 0.3 else data)
    return path


def read_script(path: Path) -> str:
    """Parse and play it: what it prints."""
    script = parse(path)
    if script.pages() > 1 << 20 or sum(getattr(step, "times", 0) for step in script.steps) > 1000:
        return ""  # it may be as large as its user wants
    with EmulatedMachine(script) as machine:
        return "\n".join(play(script, machine))


def write_record(dice: random.Random, folder: Path) -> Path:
    """A mutated recording."""
    path = folder / "case.rec"
    sizes = [[dice.randrange(1, 20) for _ in range(3)] for _ in range(2)]
    lives = {
        f"g{n}": [{k: page(dice.randrange(9)) for k in range(most)} for most in row] for n, row in enumerate(sizes)
    }
    write_recording(path, lives, 24)
    data = path.read_bytes()
    path.write_bytes(mutated(data, dice) if dice.random() < 0.4 else rewritten(data, dice))
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
        return mutated(payload, dice)
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


def read_record(path: Path) -> str:
    """Open it, and read all contents of every step: what is said of it."""
    with Recording(path) as recording:
        summary = summarise(recording)
        for guest in range(len(recording.guests)):
            if recording.guests[guest].pages > 1 << 22:
                continue  # it may be as large as its user wants
            for step in range(len(recording.steps)):
                state = recording.state(guest, step)
                for _ in recording.contents(state[np.flatnonzero(state)]):
                    pass
        return "\n".join([shown_lines("\n".join(lines(summary))), json_text(summary)])


def compile_all() -> None:
    """Play what uses every step, so that no case waits for a compiler."""
    for golden in sorted((Path(__file__).parent.parent / "golden").glob("everything-*.ksm")):
        read_script(golden)
