"""Play a KSM script on a machine and say what it prints.

One JSON object a line, as the script specification has it; a machine only answers questions, the form of the
answers is decided here and so is the same for every machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from vmdedup.errors import KnobError
from vmdedup.replay import steps
from vmdedup.replay.machine import Machine
from vmdedup.replay.script import Script


def play(script: Script, machine: Machine, watch: Callable[[int], None] = lambda line: None) -> Iterator[str]:
    """Play every step in order; yield a line of JSON (without newline) for each step that prints one.

    watch: told the line number of each step before it is played.
    """
    for step in script.steps:
        watch(step.line)
        answer = perform(step, machine)
        if answer is not None:
            yield json.dumps({"line": step.line, **answer})


def perform(step: steps.Step, machine: Machine) -> dict[str, Any] | None:
    """Do one step. Returns what it prints, apart from the line number, or None."""
    match step:
        case steps.Counters():
            return machine.counters()
        case steps.Sharing():
            return {"sharing": machine.sharing()}
        case steps.Digest():
            return {"digest": machine.digest()}
        case steps.Set(knob=knob, value=value):
            return _set(machine, knob, value)
        case steps.Scan(pages=pages):
            machine.scan(pages)
        case steps.Pass(times=times):
            machine.full_pass(times)
        case _:
            _touch(step, machine)
    return None


def _set(machine: Machine, knob: str, value: str) -> dict[str, Any] | None:
    try:
        machine.set(knob, value)
    except KnobError as refused:
        return {"error": refused.errno_name}
    return None


def _touch(step: steps.Step, machine: Machine) -> None:
    """The steps in which a process does something; none of them prints."""
    match step:
        case steps.Vm(name=name, pages=pages):
            machine.vm(name, pages)
        case steps.Fork(name=name, child=child):
            machine.fork(name, child)
        case steps.Exit(name=name):
            machine.exit(name)
        case steps.Fill(name=name, lo=lo, hi=hi, content=content):
            machine.fill(name, lo, hi, content)
        case steps.Poke(name=name, page=page, offset=offset, byte=byte):
            machine.poke(name, page, offset, byte)
        case steps.Read(name=name, lo=lo, hi=hi):
            machine.read(name, lo, hi)
        case steps.Discard(name=name, lo=lo, hi=hi):
            machine.discard(name, lo, hi)
        case steps.Unmap(name=name, lo=lo, hi=hi):
            machine.unmap(name, lo, hi)
        case steps.Mergeable(name=name, lo=lo, hi=hi):
            machine.mergeable(name, lo, hi)
        case steps.Unmergeable(name=name, lo=lo, hi=hi):
            machine.unmergeable(name, lo, hi)
        case _:
            raise TypeError(f"no such step: {step!r}")
