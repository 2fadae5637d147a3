"""The house rules: where kernels live, how large things are, what they are called. See docs/design.md, section 13."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from kit.sources import OURS, PACKAGE, ROOT, SOURCES, Function, imports, module_name, parsed

MOST_LINES, MOST_LINES_OF_FUNCTION = 400, 60
# What compiled code is made of: intrinsics, and their stand-ins for Python mode.
MIXED = {"jit/atomic.py", "jit/draw.py", "jit/page.py", "jit/prefetch.py", "jit/kernel.py"}


# Kernels


def decorators(function: Function) -> set[str]:
    """Names of a function's decorators."""
    return {ast.unparse(decorator) for decorator in function.decorator_list}


def kernel_modules() -> list[Path]:
    """Files that hold kernels, those of jit that hold other things too left out."""
    return [
        path
        for path in SOURCES
        if str(path.relative_to(PACKAGE)) not in MIXED
        and any("kernel" in decorators(node) for node in parsed(path).body if isinstance(node, Function))
    ]


def test_a_module_with_kernels_holds_kernels_only() -> None:
    """Functions, constants and imports: no classes, no I/O, no logging."""
    assert len(kernel_modules()) > 40
    assert not {module_name(path): odd for path in kernel_modules() if (odd := list(besides_kernels(parsed(path))))}


def besides_kernels(tree: ast.Module) -> Iterator[str]:
    """What a module of kernels should not hold, by line, and what it should not import."""
    for node in tree.body:
        if isinstance(node, Function):
            if decorators(node) != {"kernel"}:
                yield node.name
        elif not isinstance(node, ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign | ast.Expr):
            yield f"line {node.lineno}"
    yield from {name.split(".")[0] for name in imports(tree)} - {"__future__", "typing", "vmdedup", "numpy"}


def test_modules_that_say_so_hold_kernels() -> None:
    """And the other way round; jit is explained as a whole."""
    saying = {path for path in SOURCES if "Kernels only." in (ast.get_docstring(parsed(path)) or "")}
    assert saying == {path for path in kernel_modules() if path.parent.name != "jit"}


def test_nobody_compiles_past_the_decorator() -> None:
    """So that compile options stand in one place."""
    for path in OURS:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Attribute | ast.Name):
                name = node.attr if isinstance(node, ast.Attribute) else node.id
                assert name not in {"njit", "vectorize", "guvectorize", "cfunc"} or path.name == "kernel.py", path


def test_kernels_take_few_arguments() -> None:
    """Arrays come in a tuple of arrays."""
    for path in kernel_modules():
        for node in parsed(path).body:
            if isinstance(node, Function):
                assert len(node.args.args) <= 7, f"{path.name}: {node.name}"


# Sizes, names, words


def test_files_and_functions_are_short() -> None:
    assert not {str(path.relative_to(ROOT)): what for path in OURS if (what := list(too_long(path)))}


def too_long(path: Path) -> Iterator[str]:
    """What has too many lines: the file, functions of it."""
    if (lines := len(path.read_text().splitlines())) > MOST_LINES:
        yield f"the file has {lines} lines"
    for node in ast.walk(parsed(path)):
        if isinstance(node, Function):
            assert node.end_lineno is not None
            if (lines := node.end_lineno - node.lineno + 1) > MOST_LINES_OF_FUNCTION:
                yield f"{node.name} has {lines} lines"


def test_files_are_short_on_the_whole() -> None:
    lengths = sorted(len(path.read_text().splitlines()) for path in SOURCES)
    assert lengths[len(lengths) // 2] <= 150


def test_what_is_public_says_what_it_is() -> None:
    assert not {module_name(path): names for path in SOURCES if (names := list(silent(parsed(path))))}


def silent(tree: ast.Module) -> Iterator[str]:
    """What has no docstring and should have one."""
    if tree.body and not ast.get_docstring(tree):
        yield "the module"
    yield from (name for name, node in public(tree) if not ast.get_docstring(node) and not is_setter(node))


def is_setter(node: Function | ast.ClassDef) -> bool:
    """Whether it sets what a documented property gives."""
    return isinstance(node, Function) and any(name.endswith(".setter") for name in decorators(node))


def public(tree: ast.Module | ast.ClassDef) -> Iterator[tuple[str, Function | ast.ClassDef]]:
    """Public functions, classes, and the public methods of those."""
    for node in tree.body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public(node)


def test_all_is_sorted_and_complete() -> None:
    found = [(path, names) for path in SOURCES if (names := listed_names(parsed(path))) is not None]
    assert len(found) > 3
    for path, names in found:
        assert names == sorted(set(names)), path
        top = [node.name for node in parsed(path).body if isinstance(node, Function | ast.ClassDef)]
        missing = {name for name in top if not name.startswith("_")} - set(names)
        assert not missing or path.name == "__init__.py", f"{path}: {missing}"


def listed_names(tree: ast.Module) -> list[str] | None:
    """What a module's __all__ has; None: it has none."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names: list[str] = ast.literal_eval(node.value)
            return names
    return None


def test_no_machine_is_named() -> None:
    """Paths of the machine on which something was written mean nothing to others."""
    folders = "/" + "work/", "/" + "home/", "/" + "root/", "/opt/" + "venv", "." + "pyenv"
    paths = re.compile("|".join(re.escape(folder) for folder in folders))
    texts = [
        path
        for folder in ("vmdedup", "tests", "docs", "benchmarks", "examples", ".ci")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix in (".py", ".md", ".toml", ".ksm", "")
    ]
    texts += [path for suffix in ("md", "toml", "py") for path in ROOT.glob(f"*.{suffix}")]
    for path in texts:
        found = paths.search(path.read_text(errors="replace"))
        assert found is None, f"{path}: {found and found[0]}"
