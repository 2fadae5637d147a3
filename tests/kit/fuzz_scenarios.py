"""Scenarios, and listings of tunables, for the fuzzer of documents: changed ones, and what reads them."""

from __future__ import annotations

import random
from pathlib import Path

from fuzz_dumps import mutated
from vmdedup.ksm.sysfs import COUNTERS, TUNABLES
from vmdedup.run.room import host_room
from vmdedup.scenario.describe import describe
from vmdedup.scenario.listed import listing_of
from vmdedup.scenario.load import builtin_names, find_source, load_scenario
from vmdedup.scenario.plan import plan
from vmdedup.shown import json_text, shown

VALUES = [
    "inf",
    "-nan",
    "1e999",
    "0",
    "-1",
    "1.5",
    "true",
    "''",
    "[]",
    "{}",
    "[[]]",
    "9" * 20,
    "9" * 5000,
    "-" + "9" * 19,
]
VALUES += ["0x" + "f" * 900, "1979-05-27", "1979-05-27T07:32:00Z", "07:32:00", "'" + "9" * 4000 + "h'", "'1e5s'", "'%'"]
VALUES += ['"\\u0000"', '"\\u202e\\u001b[2J"', "'" + "x" * 5000 + "'", "[" * 500, "{a={a={}}}", "'" + "9" * 50 + "TiB'"]
VALUES += [
    "'spread'",
    "'/dev/zero'",
    "'/proc/self/mem'",
    "'/tmp'",
    "'listing.txt'",
    "'none.py'",
    "'[none] scan-time'",
    "'ksm'",
]
VALUES += ["'0s'", "'1ns'", "'292y'", "'200000h'", "'4KiB'", "'16EiB'", "[0, 5, 9]", "1.7976931348623157e308", "5e-324"]
KEYS = [
    "from",
    "name",
    "image",
    "replay",
    "guest",
    "speed",
    "count",
    "memory",
    "events",
    "a" * 2000,
    "a." * 50 + "a",
    '"\\u202e"',
]


def write_listing(dice: random.Random, folder: Path) -> Path:
    """A listing of tunables in one of its forms, with changed lines."""
    form = dice.choice(("/sys/kernel/mm/ksm/{}:{}", "{}:{}", "{} = {}", "{}\t{}", "{}={}"))
    values = {name: TUNABLES[name].show(TUNABLES[name].default) for name in TUNABLES} | dict.fromkeys(COUNTERS, "7")
    lines = [form.format(name, value) for name, value in values.items() if dice.random() < 0.9]
    for _ in range(dice.choice((0, 0, 1, 3))):
        lines[dice.randrange(len(lines))] = form.format(dice.choice(list(values)), dice.choice(VALUES).strip("'"))
    data = "\n".join(lines).encode()
    path = folder / "listing.txt"
    path.write_bytes(mutated(data, dice) if dice.random() < 0.4 else data)
    return path


def read_tunables(path: Path) -> str:
    """Take its tunables."""
    listing = listing_of(path)
    return json_text({"tunables": listing.tunables, "counters": listing.counters})


def write_scenario(dice: random.Random, folder: Path) -> Path:
    """A built-in scenario with changed lines or bytes, a listing beside it."""
    write_listing(dice, folder)
    lines = find_source(dice.choice(builtin_names())).text.splitlines()
    for _ in range(dice.choice((1, 1, 2, 5))):
        at = dice.randrange(len(lines))
        key, equals, value = lines[at].removeprefix("# ").partition("=")
        if dice.random() < 0.2:
            lines.insert(at, dice.choice(lines))
        elif dice.random() < 0.2:
            lines.insert(at, f"{dice.choice(KEYS)} = {dice.choice(VALUES)}")
        elif equals:
            lines[at] = f"{key}= {dice.choice((*VALUES, value))}"
        else:
            lines[at] = dice.choice(("", "[ksm]", "[[guests]]", "[policy]", "[guests]", "[[ksm]]", "[[guests.events]]"))
    data = "\n".join(lines).encode(errors="replace")
    path = folder / "case.toml"
    path.write_bytes(mutated(data, dice) if dice.random() < 0.3 else data)
    return path


def read_scenario(path: Path) -> str:
    """Check it, as `vmdedup scenario check` does, but for files below its disks."""
    notes: list[str] = []
    scenario = load_scenario(path, runs=False, say=notes.append)
    plan(scenario)
    return "\n".join(map(shown, [*notes, describe(scenario), host_room(scenario).note, scenario.model_dump_json()]))
