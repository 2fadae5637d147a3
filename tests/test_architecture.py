"""The house rules: who imports whom, and what is done in one place. See docs/design.md, section 13."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache

from kit.sources import NAMES, PACKAGE, PLACE, ROOT, SOURCES, imports, module_name, parsed
from vmdedup.late import load

# The modules at the top; "" is the version in vmdedup/__init__.py.
FREE_FOR_ALL = {
    "available",
    "breakdown",
    "closing",
    "errors",
    "expect",
    "inputs",
    "late",
    "limits",
    "ours",
    "outputs",
    "shown",
    "signals",
}
FREE_FOR_ALL |= {"mixing", "toml", "units", ""}
DISTRIBUTIONS = {
    "multiprocessing-logging": "multiprocessing_logging",
    "libvirt-python": "libvirt",
    "prometheus-client": "prometheus_client",
}


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


def ours(tree: ast.AST) -> set[str]:
    """Modules of ours that a piece of code imports, without the leading vmdedup."""
    return {name.removeprefix("vmdedup").strip(".") for name in imports(tree) if name.split(".")[0] == "vmdedup"}


def package_of(name: str) -> str:
    """ksm.scan is of ksm; a module at the top is of itself."""
    return name.split(".")[0]


# Imports


def test_the_rule_names_every_package() -> None:
    packages, _ = rule_tables()
    present = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert set(packages) - {"package"} == present


def may_import(module: str) -> set[str]:
    """The packages, and modules at the top, that a module may import."""
    packages, _ = rule_tables()
    home = package_of(module)
    if home in FREE_FOR_ALL - {""}:
        return {home, *FREE_FOR_ALL}
    face = {"api", "dump", "ksm", "policy", "result", "scan", "scenario"}  # where public names are at home
    own = {"": face, "__main__": {"cli"}}.get(module, set())
    return {home, *FREE_FOR_ALL, *packages.get(home, "").replace(",", " ").split(), *own}


def test_imports_run_one_way() -> None:
    names = {module_name(path): ours(parsed(path)) for path in SOURCES}
    wrong = {
        module: sorted(name for name in imported if package_of(name) not in may_import(module))
        for module, imported in names.items()
    }
    assert not {module: imported for module, imported in wrong.items() if imported}


def places() -> list[str]:
    """Everything that is loaded by name (late.load), as PACKAGE.MODULE:NAME."""
    constants = (node for path in SOURCES for node in ast.walk(parsed(path)) if isinstance(node, ast.Constant))
    texts = (node.value for node in constants if isinstance(node.value, str))
    return sorted({text for text in texts if PLACE.fullmatch(text)})


def test_what_is_loaded_by_name_is_there() -> None:
    assert len(places()) > 40
    for place in places():
        assert load(place) is not None, place


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
    # Of the extras `libvirt`, `plot`, `cluster`, `fuse`, `prometheus`, `place` and `tune`.
    extras = {"libvirt", "libvirt_qemu", "matplotlib", "distributed", "mfusepy", "prometheus_client", "highspy"} | {
        "optuna"
    }
    known = required | extras | {"numpy", "llvmlite", "pydantic_core", "vmdedup"} | sys.stdlib_module_names
    known |= {DISTRIBUTIONS.get(name, name) for name in required}
    for path in SOURCES:
        assert {name.split(".")[0] for name in imports(parsed(path))} <= known, path


def test_memory_is_mapped_in_few_places() -> None:
    """Host memory in host.segment; what reaches real processes in live, guests in vmkernel; files of dumps in dump."""
    mapping = {module_name(path) for path in SOURCES if "mmap" in imports(parsed(path))}
    assert {name for name in mapping if package_of(name) not in ("live", "dump", "vmkernel")} == {"host.segment"}
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
    "guise.plain": "in a folder of ours, or in an empty one that the user has given for it",
    "ours": "in folders of ours",
    "recording.writer": "asks outputs first; grows step by step, under its name",
    "live.memory.export": "the caller has asked outputs",
    "result.directory": "in a folder that it has made",
    "result.policies": "in a folder that it has made",
    "result.sweep_directory": "in a folder that it has made",
    "place.there": "in a scratch folder of ours",
    "image": "in the store of images",
    "live": "in folders of a run's own, and the kernel's files",
    "vmkernel": "in the cache of kernels",
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


COMMANDS = (
    "run",
    "replay",
    "record",
    "scenario",
    "scan",
    "image",
    "live",
    "compare",
    "doctor",
    "policy",
    "leak",
    "sweep",
    "place",
)
# One interpreter after another would load the same things; in one, what is heavy stays loaded, and is seen at whichever
# statement has loaded it.
HELP = """
import sys
def look(statement):
    heavy = {{"numba", "llvmlite", "numpy", "polars"}} & sys.modules.keys()
    print("LOADED", statement, "vmdedup" in sys.modules, *heavy)
import vmdedup
look("import")
from vmdedup.cli import run_command
for words in {words}:
    run_command(words)
    look(words[0])
"""


def test_help_loads_nothing_heavy() -> None:
    words = [["--help"], *([command, "--help"] for command in (*COMMANDS, "experiment")), ["--version"]]
    done = subprocess.run(
        [sys.executable, "-c", HELP.format(words=words)], capture_output=True, text=True, cwd=ROOT, check=True
    )
    found = [line for line in done.stdout.splitlines() if line.startswith("LOADED")]
    assert found == [f"LOADED {name} True" for name in ("import", *(word for word, *_ in words))]
