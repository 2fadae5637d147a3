"""Play a KSM script on a machine and say what it prints.

One JSON object a line, as the script specification has it; a machine only answers questions, the form of the
answers is decided here and so is the same for every machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from itertools import groupby
from typing import Any, get_args

from vmdedup.errors import RefusedError, ScriptError
from vmdedup.replay.machine import LacksStepError, Machine
from vmdedup.replay.script import Script
from vmdedup.replay.steps import Step


def play(script: Script, machine: Machine, watch: Callable[[int], None] = lambda line: None) -> Iterator[str]:
    """Play every step in order; yield a line of JSON (without newline) for each step that prints one.

    watch: told the line number of each step before it is played. ScriptError: the machine cannot do a step.
    """
    for step in script.steps:
        watch(step.line)
        try:
            answer = perform(step, machine)
        except LacksStepError as lacking:
            raise ScriptError(f"{script.name}:{step.line}: {lacking}") from None
        if answer is not None:
            yield json.dumps({"line": step.line, **answer})


def perform(step: Step, machine: Machine) -> dict[str, Any] | None:
    """Do one step. Returns what it prints, apart from the line number, or None. LacksStepError.

    A kind of step is a method of the machine, with what the step says in its order.
    """
    kind = type(step)
    if kind not in get_args(Step):
        raise TypeError(f"no such step: {step!r}")
    word = kind.__name__.lower()
    do = getattr(machine, _METHODS.get(word, word), None)
    if do is None:
        raise LacksStepError(word)
    try:
        answer = do(*(getattr(step, field.name) for field in fields(step) if field.name != "line"))
    except RefusedError as refused:
        return {"error": refused.errno_name}
    return _FORMS[word](step, answer) if word in _FORMS else None


def runs(values: Iterable[Any], between: str = "") -> str:
    """What is the same several times over, once, and how often: k1 a511."""
    return " ".join(f"{value}{between}{len(list(same))}" for value, same in groupby(values))


def _each(between: str, word: str) -> Callable[[Any, Any], dict[str, Any]]:
    """The form of an answer that has a list of values for each process."""
    return lambda step, answer: {word: {name: runs(values, between) for name, values in answer.items()}}


_METHODS = {"pass": "full_pass", "exec": "execute"}  # where a step's word is not to be had as a name

_FORMS: dict[str, Callable[[Any, Any], dict[str, Any]]] = {
    "counters": lambda step, answer: answer,
    "sharing": lambda step, answer: {"sharing": answer},
    "digest": lambda step, answer: {"digest": answer},
    "kinds": _each("", "kinds"),
    "nodes": _each("x", "nodes"),
    "migrate": lambda step, answer: {"migrate": answer[0], "status": runs(answer[1], "x")},
    "mem": lambda step, answer: answer,
    "status": lambda step, answer: {"status": answer},
    "show": lambda step, answer: {step.file: answer},
}
