"""The house rules: who imports whom, where kernels live, how large things are. See docs/design.md, section 13."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from vmdedup.late import load

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "vmdedup"
SOURCES = sorted(PACKAGE.rglob("*.py"))
OURS = [*SOURCES, *sorted(ROOT.glob("tests/**/*.py")), *sorted(ROOT.glob("benchmarks/**/*.py"))]
# The modules at the top; "" is the version in vmdedup/__init__.py.
FREE_FOR_ALL = {"available", "breakdown", "errors", "inputs", "late", "limits", "ours", "outputs", "shown", "signals"}
FREE_FOR_ALL |= {"toml", "units", ""}
MOST_LINES, MOST_LINES_OF_FUNCTION = 400, 60
# What compiled code is made of: intrinsics, and their stand-ins for Python mode.
MIXED = {"jit/atomic.py", "jit/page.py", "jit/prefetch.py", "jit/kernel.py"}
DISTRIBUTIONS = {"multiprocessing-logging": "multiprocessing_logging", "libvirt-python": "libvirt"}

PLACE = re.compile(r"(vmdedup(?:\.\w+)+):\w+")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def rule_tables() -> list[dict[str, str]]:
    """The tables of section 13 of the design, each as first cell to second, without backticks."""
    section = (ROOT / "docs" / "design.md").read_text().split("\n## 13. ")[1].split("\n## ")[0]
    tables: list[dict[str, str]] = [{}]
    for line in section.splitlines():
        if line.startswith("|"):
            cells = [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]
            if not cells[0].startswith("--"):
                tables[-1][cells[0]] = cells[1]
        elif tables[-1]:
            tables.append({})
    return [table for table in tables if table]


def module_name(path: Path) -> str:
    """vmdedup/ksm/scan.py is ksm.scan; a package's own file has the package's name."""
    parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {module_name(path) for path in SOURCES}


def imports(tree: ast.AST) -> Iterator[str]:
    """Dotted names that a piece of code imports; of `from a import b`, a.b where that is a module of ours, else a.

    What is loaded by name (late.load) counts as imported: texts such as "vmdedup.run.room:HostRoom".
    """
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


def ours(tree: ast.AST) -> set[str]:
    """Modules of ours that a piece of code imports, without the leading vmdedup."""
    return {name.removeprefix("vmdedup").strip(".") for name in imports(tree) if name.split(".")[0] == "vmdedup"}


@cache
def parsed(path: Path) -> ast.Module:
    """A file's syntax tree."""
    return ast.parse(path.read_text(), str(path))


def package_of(name: str) -> str:
    """ksm.scan is of ksm; a module at the top is of itself."""
    return name.split(".")[0]


# Imports


def test_the_rule_names_every_package() -> None:
    packages, _ = rule_tables()
    present = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert set(packages) - {"package"} == present


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_run_one_way(path: Path) -> None:
    packages, _ = rule_tables()
    home = package_of(module_name(path))
    allowed = {home, *FREE_FOR_ALL, *packages.get(home, "").replace(",", " ").split()}
    face = {"api", "dump", "ksm", "policy", "result", "scan", "scenario"}  # where public names are at home
    allowed |= {"": face, "__main__": {"cli"}}.get(module_name(path), set())
    if home in FREE_FOR_ALL - {""}:
        allowed = {home, *FREE_FOR_ALL}
    wrong = {name for name in ours(parsed(path)) if package_of(name) not in allowed}
    assert not wrong, f"{home} may import {sorted(allowed)}"


def places() -> list[str]:
    """Everything that is loaded by name (late.load), as PACKAGE.MODULE:NAME."""
    constants = (node for path in SOURCES for node in ast.walk(parsed(path)) if isinstance(node, ast.Constant))
    texts = (node.value for node in constants if isinstance(node.value, str))
    return sorted({text for text in texts if PLACE.fullmatch(text)})


@pytest.mark.parametrize("place", places())
def test_what_is_loaded_by_name_is_there(place: str) -> None:
    assert load(place) is not None


def test_the_rule_has_no_cycle() -> None:
    """So that no package needs, however late it imports, what needs it."""
    packages, _ = rule_tables()
    needs = {name: set(allowed.replace(",", " ").split()) for name, allowed in packages.items() if name != "package"}
    while free := {name for name, others in needs.items() if not others & needs.keys()}:
        needs = {name: others for name, others in needs.items() if name not in free}
    assert not needs


def test_rooms_of_live_need_each_other_one_way() -> None:
    """live/ is the largest package: its folders have an order, too, late imports counted."""
    needs: dict[str, set[str]] = {}
    for path in (PACKAGE / "live").glob("*/*.py"):
        rooms = {name.split(".")[1] for name in ours(parsed(path)) if name.startswith("live.")}
        needs.setdefault(path.parent.name, set()).update(rooms - {path.parent.name})
    while free := {room for room, others in needs.items() if not others & needs.keys()}:
        needs = {room: others for room, others in needs.items() if room not in free}
    assert not needs


def test_ksmd_and_guests_meet_in_host_memory_only() -> None:
    """Said in words, in case somebody changes the table."""
    for here, there in (("ksm", "guest"), ("guest", "ksm")):
        for path in (PACKAGE / here).rglob("*.py"):
            assert there not in {package_of(name) for name in ours(parsed(path))}, path
    for path in (PACKAGE / "host").rglob("*.py"):
        assert not {"ksm", "guest"} & {package_of(name) for name in ours(parsed(path))}, path


def test_each_library_has_one_home() -> None:
    _, libraries = rule_tables()
    homes = {}
    for names, home in list(libraries.items())[1:]:
        for name in names.split(", "):
            homes[DISTRIBUTIONS.get(name, name)] = home.split(", ")
    for path in SOURCES:
        module = module_name(path)
        for name in imports(parsed(path)):
            library = name.split(".")[0].removesuffix("_core")
            if library in homes:
                assert any(f"{module}.".startswith(f"{home}.") for home in homes[library]), f"{module} imports {name}"


def test_every_dependency_but_numpy_has_a_home() -> None:
    _, libraries = rule_tables()
    listed = {name for names in libraries for name in names.split(", ")}
    block = re.search(r"\ndependencies = \[(.*?)\]", (ROOT / "pyproject.toml").read_text(), re.DOTALL)
    assert block is not None
    required = set(re.findall(r'"([A-Za-z0-9_-]+)', block[1])) - {"numpy"}
    assert required <= listed
    extras = {"libvirt", "libvirt_qemu", "matplotlib"}  # of the extras `libvirt` and `plot`
    known = required | extras | {"numpy", "llvmlite", "pydantic_core", "vmdedup"} | sys.stdlib_module_names
    known |= {DISTRIBUTIONS.get(name, name) for name in required}
    for path in SOURCES:
        assert {name.split(".")[0] for name in imports(parsed(path))} <= known, path


def test_memory_is_mapped_in_few_places() -> None:
    """Host memory in host.segment; what reaches real processes in live; files of dumps in dump."""
    mapping = {module_name(path) for path in SOURCES if "mmap" in imports(parsed(path))}
    assert {name for name in mapping if package_of(name) not in ("live", "dump")} == {"host.segment"}
    assert not any("multiprocessing.shared_memory" in imports(parsed(path)) for path in SOURCES)


# Where text reaches a terminal: what is printed elsewhere goes round the one place that spells foreign text out.
PRINTERS = {
    "cli.say": "lines, documents, progress",
    "cli.streams": "the streams themselves",
    "report.console": "rendered reports",
    "live.guardian.program": "a script without the package; says its own words only",
    "live.guests.away": "outlives the command; spells out what it says",
}
# Who writes files otherwise than through `outputs`, and why no file of a user's can be lost by it.
WRITERS = {
    "outputs": "the one place",
    "ours": "in folders of ours",
    "recording.writer": "asks outputs first; grows step by step, under its name",
    "live.memory.export": "the caller has asked outputs",
    "result.directory": "in a folder that it has made",
    "result.policies": "in a folder that it has made",
    "image": "in the store of images",
    "live": "in folders of a run's own, and the kernel's files",
}
WRITING = re.compile(r"open\(.*['\"][wax]b?\+?['\"]|O_CREAT|\.write_text\(|os\.(replace|rename|link)\(|\.savefig\(")


def calls(tree: ast.AST) -> Iterator[str]:
    """Dotted names that a piece of code calls."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def test_what_is_printed_passes_one_place() -> None:
    for path in SOURCES:
        if module_name(path) not in PRINTERS:
            printed = {"print", "typer.echo", "click.echo", "sys.stdout.write", "sys.stderr.write", "Console"}
            assert not printed & set(calls(parsed(path))), path


def test_what_is_written_for_users_passes_one_place() -> None:
    for path in SOURCES:
        name = module_name(path)
        if not any(f"{name}.".startswith(f"{writer}.") for writer in WRITERS):
            lines = [line for line in path.read_text().splitlines() if "output.write" not in line]
            assert not [line for line in lines if WRITING.search(line)], name


def test_there_is_no_import_cycle() -> None:
    """Whenever imports run, those inside functions too. Left out: imports for types alone, and the public face."""
    graph = {module_name(path): ours(as_run(parsed(path))) & NAMES - {""} for path in SOURCES}
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " → ".join((*above, name))
        if name not in done:
            for following in sorted(graph[name]):
                visit(following, (*above, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def as_run(tree: ast.Module) -> ast.Module:
    """Without what stands there for types."""
    return ast.Module([node for node in tree.body if not is_for_types(node)], [])


def is_for_types(node: ast.stmt) -> bool:
    """Whether a statement is `if TYPE_CHECKING:`."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


@pytest.mark.parametrize(
    "statement",
    ["import vmdedup", "from vmdedup.cli import run_command; run_command(['--help'])"]
    + [
        f"from vmdedup.cli import run_command; run_command(['{c}', '--help'])"
        for c in (
            *("run", "replay", "record", "scenario", "scan", "image", "live", "compare", "doctor"),
            *("policy", "leak", "experiment"),
        )
    ]
    + ["from vmdedup.cli import run_command; run_command(['--version'])"],
)
def test_help_loads_nothing_heavy(statement: str) -> None:
    code = f"{statement}\nimport sys\nprint('LOADED', *sorted(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    loaded = result.stdout.rpartition("LOADED")[2].split()
    assert "vmdedup" in loaded
    assert not {"numba", "llvmlite", "numpy", "polars"} & set(loaded)


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


@pytest.mark.parametrize("path", kernel_modules(), ids=module_name)
def test_a_module_with_kernels_holds_kernels_only(path: Path) -> None:
    """Functions, constants and imports: no classes, no I/O, no logging."""
    tree = parsed(path)
    for node in tree.body:
        if isinstance(node, Function):
            assert decorators(node) == {"kernel"}, node.name
        else:
            assert isinstance(node, ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign | ast.Expr), node.lineno
    imported = {name.split(".")[0] for name in imports(tree)}
    assert imported <= {"__future__", "typing", "vmdedup", "numpy"}, imported


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


@pytest.mark.parametrize("path", OURS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MOST_LINES
    for node in ast.walk(parsed(path)):
        if isinstance(node, Function):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            assert lines <= MOST_LINES_OF_FUNCTION, f"{node.name} has {lines} lines"


def test_files_are_short_on_the_whole() -> None:
    lengths = sorted(len(path.read_text().splitlines()) for path in SOURCES)
    assert lengths[len(lengths) // 2] <= 150


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_what_is_public_says_what_it_is(path: Path) -> None:
    tree = parsed(path)
    assert ast.get_docstring(tree) or not tree.body, "the module has no docstring"
    silent = [name for name, node in public(tree) if not ast.get_docstring(node) and not is_setter(node)]
    assert not silent


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


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_all_is_sorted_and_complete(path: Path) -> None:
    tree = parsed(path)
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            names = ast.literal_eval(node.value)
            assert names == sorted(set(names))
            top = [node for node in tree.body if isinstance(node, Function | ast.ClassDef)]
            missing = {node.name for node in top if not node.name.startswith("_")} - set(names)
            assert not missing or path.name == "__init__.py"


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
