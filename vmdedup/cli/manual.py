"""Man pages, made from what --help says: vmdedup.1, and one for each command.

Source: man-pages(7), groff_man(7) for sections and macros.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import vmdedup

_SECTION = 1
_STATUS = (
    ("0", "done"),
    ("1", "it failed"),
    ("2", "what was asked for cannot be meant"),
    ("3", "two machines differ, or a check was not met"),
    ("4", "this machine lacks something: root, an idle KSM, a package"),
    ("130, 143, 129", "interrupted by SIGINT, SIGTERM, SIGHUP; results so far are kept"),
)


def pages(command: Any) -> Iterator[tuple[str, str]]:
    """Name and text of each page. command: the application's, of typer."""
    yield from _walk(command, "vmdedup")


def _walk(command: Any, path: str) -> Iterator[tuple[str, str]]:
    yield f"{path.replace(' ', '-')}.{_SECTION}", _page(command, path)
    for name, inner in getattr(command, "commands", {}).items():
        if not inner.hidden:
            yield from _walk(inner, f"{path} {name}")


def _page(command: Any, path: str) -> str:
    text, examples = _split(command.help or "")
    name = path.replace(" ", "-")
    short = command.short_help or text.strip().partition("\n")[0]
    lines = [
        f'.TH "{name.upper()}" "{_SECTION}" "" "vmdedup {vmdedup.__version__}" "vmdedup"',
        ".SH NAME",
        f"{_plain(name)} \\- {_plain(short.rstrip('.'))}",
        ".SH SYNOPSIS",
        f".B {_plain(path)}",
        _plain(" ".join(_usage(command))),
        ".SH DESCRIPTION",
        *_paragraphs(text),
        *_options(command),
        *_commands(command, path),
    ]
    if examples:
        lines += [".SH EXAMPLES", ".EX", *map(_plain, examples), ".EE"]
    lines += [".SH EXIT STATUS"]
    for status, meaning in _STATUS:
        lines += [".TP", f".B {status}", _plain(meaning)]
    if path != "vmdedup":
        lines += [".SH SEE ALSO", f".BR vmdedup ({_SECTION})"]
    return "\n".join(lines) + "\n"


def _split(text: str) -> tuple[str, list[str]]:
    """A help's words, and its examples, which stand behind a mark of typer's."""
    before, mark, after = text.partition("\b\n")
    block, _, rest = after.partition("\n\n")
    block_lines = block.splitlines()
    examples = [line.strip() for line in block_lines if line.startswith("  ")]
    others = [line for line in block_lines if line.strip() and not line.startswith("  ")]
    return "\n".join([before, "\n".join(others), rest]) if mark else text, examples


def _usage(command: Any) -> Iterator[str]:
    if any(parameter.param_type_name == "option" for parameter in command.params):
        yield "[OPTION]..."
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            yield parameter.metavar or parameter.name.upper()
    if hasattr(command, "commands"):
        yield "COMMAND [ARGUMENT]..."


def _paragraphs(text: str) -> Iterator[str]:
    for part in re.split(r"\n\s*\n", text.strip()):
        yield ".PP"
        yield _plain(" ".join(part.split()))


def _options(command: Any) -> Iterator[str]:
    options = [each for each in command.params if each.param_type_name == "option" and not each.hidden]
    if options:
        yield ".SH OPTIONS"
    for option in options:
        # What typer's options have besides differs by its version.
        has_none = getattr(option, "is_flag", False) or getattr(option, "count", False)
        value = "" if has_none else f" {option.metavar or option.name.upper()}"
        yield ".TP"
        yield ", ".join(f"\\fB{_plain(name)}\\fR" for name in option.opts) + _plain(value)
        yield _plain(option.help or "")


def _commands(command: Any, path: str) -> Iterator[str]:
    there = {name: inner for name, inner in getattr(command, "commands", {}).items() if not inner.hidden}
    if there:
        yield ".SH COMMANDS"
    for name, inner in there.items():
        yield ".TP"
        yield f".BR {_plain(path.replace(' ', '-'))}\\-{_plain(name)} ({_SECTION})"
        yield _plain(inner.get_short_help_str(200))


def _plain(text: str) -> str:
    """As roff shows it: nothing in it is a command or an escape."""
    shown = text.replace("\\", "\\e").replace("-", "\\-").replace("~", "\\(ti").replace("^", "\\(ha")
    shown = shown.replace("`", "\\(ga").replace("'", "\\(aq")
    return f"\\&{shown}" if shown.startswith(".") else shown
