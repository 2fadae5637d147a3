"""How each step of a KSM script is read: one function a step, and how many words it takes."""

from __future__ import annotations

import re
from bisect import insort
from collections.abc import Callable
from typing import Any

from vmdedup.errors import UsageError
from vmdedup.ksm.sysfs import TUNABLES
from vmdedup.replay import steps
from vmdedup.replay.grammar import USAGES
from vmdedup.replay.steps import Step
from vmdedup.replay.words import Space, Words, clipped
from vmdedup.units import PAGE_SIZE, parse_size

MOST_PAGES = (1 << 47) // PAGE_SIZE  # a process's address space on x86-64
MOST_SCAN = (1 << 32) - 1  # what pages_to_scan can hold
MOST_NODES = 8
MOST_WAIT = 3_600_000  # ms

_MEMORY_FILE = re.compile(r"/(sys/kernel/mm|proc/sys/vm)/[A-Za-z0-9_/.-]{1,99}")

_Reader = Callable[[Words, list[str]], Step]


def _vm(script: Words, words: list[str]) -> Step:
    """vm NAME PAGES [OPTIONS]"""
    pages = script.number(words[1], "number of pages", MOST_PAGES, least=1)
    options = _options(script, words[2:])
    return steps.Vm(script.line, script.new(words[0], Space(pages)), pages, options)


def _fork(script: Words, words: list[str]) -> Step:
    """fork NAME CHILD"""
    parent = script.alive(words[0])
    child = script.new(words[1], Space(parent.pages, holes=list(parent.holes)))
    return steps.Fork(script.line, words[0], child)


def _exit(script: Words, words: list[str]) -> Step:
    """exit NAME"""
    script.alive(words[0]).exited = script.line
    return steps.Exit(script.line, words[0])


def _fill(script: Words, words: list[str]) -> Step:
    """fill NAME RANGE CONTENT"""
    name, lo, hi = script.range(words[0], words[1])
    return steps.Fill(script.line, name, lo, hi, script.content(words[2:], hi - lo + 1))


def _poke(script: Words, words: list[str]) -> Step:
    """poke NAME PAGE OFFSET BYTE"""
    script.page(script.alive(words[0]), words[1])
    name, page, _ = script.range(words[0], words[1])
    offset = script.number(words[2], "offset", PAGE_SIZE - 1)
    return steps.Poke(script.line, name, page, offset, script.number(words[3], "byte", 255))


def _unmap(script: Words, words: list[str]) -> Step:
    """unmap NAME RANGE"""
    name, lo, hi = script.range(words[0], words[1])
    insort(script.spaces[name].holes, (lo, hi, script.line))
    return steps.Unmap(script.line, name, lo, hi)


def _set(script: Words, words: list[str]) -> Step:
    """set KNOB VALUE"""
    if words[0] not in TUNABLES:
        raise script.error(f"unknown knob {clipped(words[0])!r}", f"use one of {', '.join(TUNABLES)}")
    return steps.Set(script.line, words[0], words[1])


def _scan(script: Words, words: list[str]) -> Step:
    """scan N"""
    return steps.Scan(script.line, script.number(words[0], "number of pages", MOST_SCAN))


def _passes(script: Words, words: list[str]) -> Step:
    """pass [N]"""
    return steps.Pass(script.line, script.number(words[0], "number of passes", MOST_SCAN) if words else 1)


_SIZES = {"huge": steps.HUGE, "anysize": steps.ANY}
_MERGES = {"plain": steps.PLAIN, "merge_any": steps.MERGE_ANY}


def _options(script: Words, words: list[str]) -> steps.Options:
    """[node=N] [huge|anysize] [plain|merge_any]"""
    said: dict[str, Any] = {}
    for word in words:
        before = len(said)
        if word.startswith("node="):
            said.setdefault("node", _node_number(script, word.removeprefix("node=")))
        elif word in _SIZES:
            said.setdefault("size", _SIZES[word])
        elif word in _MERGES:
            said.setdefault("merge", _MERGES[word])
        if len(said) == before:
            raise script.error(f"{clipped(word)!r} is no further option", f"write: {USAGES['vm']}")
    return steps.Options(**said)


def _node_number(script: Words, word: str) -> int:
    return script.number(word, "node", MOST_NODES - 1)


def _node(script: Words, words: list[str]) -> Step:
    """node NAME N"""
    script.alive(words[0])
    return steps.Node(script.line, words[0], _node_number(script, words[1]))


def _migrate(script: Words, words: list[str]) -> Step:
    """migrate NAME RANGE N [all]"""
    name, lo, hi = script.range(words[0], words[1])
    everyone = _flag(script, words[3:], "all", "migrate")
    return steps.Migrate(script.line, name, lo, hi, _node_number(script, words[2]), everyone)


def _flag(script: Words, words: list[str], flag: str, step: str) -> bool:
    """Whether a word that may stand last does."""
    if words and words != [flag]:
        raise script.error(f"{clipped(words[0])!r} instead of {flag!r}", f"write: {USAGES[step]}")
    return bool(words)


def _prctl(script: Words, words: list[str]) -> Step:
    """prctl NAME 0/1"""
    script.alive(words[0])
    return steps.Prctl(script.line, words[0], bool(script.number(words[1], "value", 1)))


def _exec(script: Words, words: list[str]) -> Step:
    """exec NAME [mergeable]: the new program has a mapping without holes."""
    script.alive(words[0]).holes.clear()
    return steps.Exec(script.line, words[0], _flag(script, words[1:], "mergeable", "exec"))


def _reclaim(script: Words, words: list[str]) -> Step:
    """reclaim BYTES"""
    try:
        return steps.Reclaim(script.line, parse_size(words[0]))
    except UsageError as error:
        raise script.error(str(error).partition(";")[0], "write bytes, or a size such as 16MiB") from None


def _swapon(script: Words, words: list[str]) -> Step:
    """swapon [disk|zram]"""
    if words and words[0] not in (steps.DISK, steps.ZRAM):
        raise script.error(f"{clipped(words[0])!r} instead of disk or zram", f"write: {USAGES['swapon']}")
    return steps.Swapon(script.line, *words)


def _sys(script: Words, words: list[str]) -> Step:
    """sys FILE VALUE"""
    return steps.Sys(script.line, _file(script, words[0]), words[1])


def _show(script: Words, words: list[str]) -> Step:
    """show FILE"""
    return steps.Show(script.line, _file(script, words[0]))


def _file(script: Words, word: str) -> str:
    """A file that says how memory is managed: nothing else is to be read, or written, by scripts."""
    if not _MEMORY_FILE.fullmatch(word) or ".." in word:
        raise script.error(f"file {clipped(word)!r}", "name one below /sys/kernel/mm/ or /proc/sys/vm/")
    return word


def _wait(script: Words, words: list[str]) -> Step:
    """wait MS"""
    return steps.Wait(script.line, script.number(words[0], "number of milliseconds", MOST_WAIT))


def _drain(script: Words, words: list[str]) -> Step:
    """drain [on|off]"""
    if words and words[0] not in ("on", "off"):
        raise script.error(f"{clipped(words[0])!r} instead of on or off", f"write: {USAGES['drain']}")
    return steps.Drain(script.line, words[0] == "on" if words else None)


def _ranged(kind: Callable[[int, str, int, int], Step]) -> _Reader:
    """The reader of a step that is a name and a range."""
    return lambda script, words: kind(script.line, *script.range(words[0], words[1]))


def _named(kind: Callable[[int, str], Step]) -> _Reader:
    """The reader of a step that is a name."""

    def read(script: Words, words: list[str]) -> Step:
        script.alive(words[0])
        return kind(script.line, words[0])

    return read


def _bare(kind: Callable[[int], Step]) -> _Reader:
    """The reader of a step that is one word."""
    return lambda script, words: kind(script.line)


READERS: dict[str, tuple[int, int, _Reader]] = {
    "vm": (2, 5, _vm),
    "fork": (2, 2, _fork),
    "exit": (1, 1, _exit),
    "exec": (1, 2, _exec),
    "fill": (3, 5, _fill),
    "poke": (4, 4, _poke),
    "read": (2, 2, _ranged(steps.Read)),
    "discard": (2, 2, _ranged(steps.Discard)),
    "unmap": (2, 2, _unmap),
    "mergeable": (2, 2, _ranged(steps.Mergeable)),
    "unmergeable": (2, 2, _ranged(steps.Unmergeable)),
    "prctl": (2, 2, _prctl),
    "hugepage": (2, 2, _ranged(steps.Hugepage)),
    "nohugepage": (2, 2, _ranged(steps.Nohugepage)),
    "collapse": (2, 2, _ranged(steps.Collapse)),
    "pageout": (2, 2, _ranged(steps.Pageout)),
    "node": (2, 2, _node),
    "migrate": (3, 4, _migrate),
    "cgroup": (1, 1, _named(steps.Cgroup)),
    "reclaim": (1, 1, _reclaim),
    "swapon": (0, 1, _swapon),
    "swapoff": (0, 0, _bare(steps.Swapoff)),
    "set": (2, 2, _set),
    "sys": (2, 2, _sys),
    "wait": (1, 1, _wait),
    "drain": (0, 1, _drain),
    "scan": (1, 1, _scan),
    "pass": (0, 1, _passes),
    "counters": (0, 0, _bare(steps.Counters)),
    "sharing": (0, 0, _bare(steps.Sharing)),
    "digest": (0, 0, _bare(steps.Digest)),
    "kinds": (0, 0, _bare(steps.Kinds)),
    "nodes": (0, 0, _bare(steps.Nodes)),
    "mem": (0, 0, _bare(steps.Mem)),
    "status": (1, 1, _named(steps.Status)),
    "show": (1, 1, _show),
}
"""Each step's word: how few and how many words follow it, and who reads them."""
