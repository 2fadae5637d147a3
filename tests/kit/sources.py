"""The sources of the package, of tests and benchmarks, as what they say: names, imports, syntax trees."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "vmdedup"
SOURCES = sorted(PACKAGE.rglob("*.py"))
OURS = [*SOURCES, *sorted(ROOT.glob("tests/**/*.py")), *sorted(ROOT.glob("benchmarks/**/*.py"))]
PLACE = re.compile(r"(vmdedup(?:\.\w+)+):\w+")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def module_name(path: Path) -> str:
    """vmdedup/ksm/scan.py is ksm.scan; a package's own file has the package's name."""
    parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {module_name(path) for path in SOURCES}


@cache
def imports(tree: ast.AST) -> frozenset[str]:
    """Dotted names that a piece of code imports; of `from a import b`, a.b where that is a module of ours, else a.

    What is loaded by name (late.load) counts as imported: texts such as "vmdedup.run.room:HostRoom".
    """
    return frozenset(_imported(tree))


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if place := PLACE.fullmatch(node.value):
                yield place[1]
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            for alias in node.names:
                longer = f"{node.module}.{alias.name}"
                yield longer if longer.removeprefix("vmdedup.") in NAMES else str(node.module)


@cache
def parsed(path: Path) -> ast.Module:
    """A file's syntax tree."""
    return ast.parse(path.read_text(), str(path))
