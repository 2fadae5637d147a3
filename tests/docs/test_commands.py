"""Each command line of the README and of docs/ is a command that there is; it is run here, or marked with why not."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from vmdedup.cli.app import app

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FOUR = "vm a 4\nvm b 4\nfill a 0..3 seed 1+\nfill b 0..3 seed 1+\npass 2\ncounters\nsharing\n"
# Run as they stand, one after another, in a folder that has four.ksm, script.ksm and host.txt.
RUN = (
    "vmdedup scenario list",
    "cat four.ksm",
    "vmdedup replay four.ksm",
    "vmdedup replay --help",
    "vmdedup policy list",
    "vmdedup kernel list",
    "vmdedup serve --dashboard > ksm.json",
    "vmdedup serve --alerts > ksm.yml",
    "vmdedup explain script.ksm -o page.html",
    "vmdedup explain script.ksm --json",
    "vmdedup explain --lessons",
)
# Not run: what a line begins with, and why.
MINUTES, ROOT_ONLY, OTHERS = "takes minutes", "needs root, and this machine's KSM or libvirt", "needs what others have"
SHOWN, UNTIL = (
    "is run by tests of its own, on something smaller",
    "runs until it is told to end; tests/guise, tests/metrics",
)
NOT_RUN = {
    r"pip install \.|pip install -e|pip install 'vmdedup": "installs packages",
    r"sudo ": ROOT_ONLY,
    r"grep -H '' /sys/": "needs a kernel with KSM",
    r"vmdedup run|vmdedup scenario show mixed|vmdedup leak|vmdedup sweep|vmdedup policy check": f"{MINUTES}; {SHOWN}",
    r"vmdedup tune": f"{MINUTES}; {SHOWN}",
    r"vmdedup (scan|record|learn|compare|report|place)": f"{OTHERS}: dumps, guests, results; {SHOWN}",
    r"vmdedup (doctor|status)": f"tells of this machine; {SHOWN}",
    r"vmdedup (exec|mount|serve identical)|mkdir host|prometheus-node-exporter": UNTIL,
    r"vmdedup (kernel fetch|replay .*vm:|conform)": f"{OTHERS}: kernels; {SHOWN}",
    r"vmdedup replay SCRIPT|make-script": "names a script of the reader's",
    r"vmdedup explain .*--terminal|vmdedup explain --lessons -o": SHOWN,
    r"cp docs/examples|for s in tests/golden|python tests/": "needs a clone as the current folder",
}


@cache
def lines() -> list[str]:
    """All lines after a prompt, without what a # says of them."""
    found: dict[str, None] = {}
    for page in PAGES:
        for block in re.findall(r"^```console\n(.*?)^```$", page.read_text(), re.M | re.S):
            for line in re.findall(r"^\$ (.*)$", block, re.M):
                found[re.sub(r"\s+# .*", "", line).rstrip("\\ ")] = None
    return list(found)


def commands(line: str) -> Iterator[list[str]]:
    """The arguments of each vmdedup in a line."""
    if line.startswith("for "):
        return
    words = shlex_words(line)
    part: list[str] = []
    for word in [*words, ";"]:
        if word in ("&&", "|", ";", ">"):
            if part[:1] == ["sudo"]:
                part = part[1:]
            if part[:1] == ["vmdedup"]:
                yield part[1:]
            part = []
        else:
            part.append(word)


def shlex_words(line: str) -> list[str]:
    """Words as a shell has them; what stands between commands is a word of its own."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;>")
    lexer.whitespace_split = True
    return list(lexer)


def parse(arguments: list[str]) -> None:
    """As the command line does, without doing it. Raises what typer raises."""
    command: Any = typer.main.get_command(app)
    path, left = "vmdedup", list(arguments)
    while hasattr(command, "commands"):
        assert left, f"{path} alone is no command"
        command, path = command.commands[left[0]], f"{path} {left[0]}"
        left = left[1:]
    if left != ["--help"]:
        command.make_context(path, left)


@pytest.mark.parametrize("line", [line for line in lines() if "vmdedup " in line])
def test_it_is_a_command_that_there_is(line: str) -> None:
    for arguments in commands(line):
        parse(arguments)


def test_one_that_there_is_not_would_be_noticed() -> None:
    for line in ("vmdedup run --gests 4", "vmdedup rum", "sudo vmdedup live run a b", "cat x | vmdedup replay"):
        assert any(is_refused(arguments) for arguments in commands(line)), line


def is_refused(arguments: list[str]) -> bool:
    try:
        parse(arguments)
    except KeyError:
        return True
    except Exception as error:
        return hasattr(error, "format_message")  # typer's, whose module is its own affair
    return False


def test_each_is_run_or_marked() -> None:
    assert len(lines()) > 80
    assert set(RUN) <= set(lines())
    unmarked = [line for line in lines() if line not in RUN and not any(re.match(mark, line) for mark in NOT_RUN)]
    assert not unmarked
    left = [line for line in lines() if line not in RUN]
    assert not [mark for mark in NOT_RUN if not any(re.match(mark, line) for line in left)], "a mark of nothing"


def test_those_are_run(tmp_path: Path) -> None:
    for name in ("four.ksm", "script.ksm"):
        (tmp_path / name).write_text(FOUR)
    shim = tmp_path / "bin" / "vmdedup"
    shim.parent.mkdir()
    shim.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -P -m vmdedup "$@"\n')
    shim.chmod(0o755)
    environment = {**os.environ, "PATH": f"{shim.parent}:{os.environ['PATH']}", "NUMBA_DISABLE_JIT": "1"}
    for line in RUN:
        done = subprocess.run(["sh", "-c", line], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        assert done.stdout or " > " in line or " -o " in line, line
