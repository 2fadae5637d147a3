"""Child processes of ours: what they are found by, what environment they get.

No file of the current folder runs in one: programs are looked for in absolute folders only, and a Python child's own
path does not begin with the folder that it is started in (PYTHONSAFEPATH), also if it has children of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DEVNULL, PIPE, STDOUT = subprocess.DEVNULL, subprocess.PIPE, subprocess.STDOUT
Completed = subprocess.CompletedProcess
Process = subprocess.Popen
TimeoutExpired = subprocess.TimeoutExpired

# Programs for administrators are not on everybody's path.
_ADMINISTRATORS = ("/usr/sbin", "/sbin")
_SAFE = "PYTHONSAFEPATH"
_handed: dict[str, str] = {}


def search_path() -> str:
    """PATH without the current folder and others that are not absolute, and with administrators' programs."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join([*(folder for folder in folders if os.path.isabs(folder)), *_ADMINISTRATORS])


def find(program: str) -> str | None:
    """The absolute path of a program, or None."""
    import shutil

    return shutil.which(program, path=search_path())


def hand_on(name: str, value: str) -> None:
    """Have a variable in the environment of all children from now on, though not in ours."""
    _handed[name] = value


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a child."""
    return {**os.environ, "PATH": search_path(), **_python_variables(), **(more or {})}


def run(command: Sequence[str], variables: Mapping[str, str] | None = None, **how: Any) -> Completed[Any]:
    """subprocess.run. variables: more for its environment. FileNotFoundError: there is no such program."""
    return subprocess.run(_found(command), env=environment(variables), **how)


def start(command: Sequence[str], variables: Mapping[str, str] | None = None, **how: Any) -> Process[Any]:
    """subprocess.Popen. variables: more for its environment. FileNotFoundError: there is no such program."""
    return subprocess.Popen(_found(command), env=environment(variables), **how)


def foreign(command: Sequence[str], variables: Mapping[str, str], **how: Any) -> Process[Any]:
    """subprocess.Popen of a user's own program, in just that environment. FileNotFoundError: there is no such one."""
    return subprocess.Popen(_found(command), env=dict(variables), **how)


def python_script(script: str, *arguments: str, bare: bool = True) -> list[str]:
    """The command that runs a file of ours in a new interpreter. bare: with the standard library only."""
    flags = ["-I", "-S"] if bare else ["-P"]
    return [sys.executable, *flags, str(Path(script).resolve()), *arguments]


def python_module(name: str, *arguments: str) -> list[str]:
    """The command that runs a module of ours in a new interpreter."""
    return [sys.executable, "-P", "-m", name, *arguments]


@contextmanager
def safe_interpreters(more: Mapping[str, str] | None = None) -> Iterator[None]:
    """What the standard library starts inside (fork server, resource tracker) gets the environment of our children.

    more: variables of it besides.
    """
    ours = {**_python_variables(), **(more or {})}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _python_variables() -> dict[str, str]:
    found = {_SAFE: "1", **_handed}
    if here := _first_folder():
        others = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        found["PYTHONPATH"] = os.pathsep.join([here, *(folder for folder in others if folder and folder != here)])
    return found


def _first_folder() -> str:
    """The folder that Python itself put first, if we are imported from there: children shall find the same package."""
    if sys.flags.safe_path or not sys.path:
        return ""
    package, first = Path(os.path.abspath(__file__)).parents[2], Path(os.path.abspath(sys.path[0]))
    return str(first) if package == first else ""


def _found(command: Sequence[str]) -> list[str]:
    program, *arguments = map(str, command)
    if os.path.isabs(program):
        return [program, *arguments]
    path = find(program)
    if path is None:
        raise FileNotFoundError(2, os.strerror(2), program)
    return [path, *arguments]
