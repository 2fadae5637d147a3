"""Folders, files, locks and children of ours are made in vmdedup/ours alone: what goes round it fails here."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from kit.sources import PACKAGE, SOURCES, parsed

# What is left to ours, and by whom else each may be used: there, with the reason.
MODULES: dict[str, set[str]] = {
    # Without the package; what it runs, ours.child has said.
    "subprocess": {"live/guardian/program.py"},
    "tempfile": set(),
    "pty": set(),
    "multiprocessing.shared_memory": set(),
}
CALLS = {
    "os.system": set(),
    "os.popen": set(),
    "os.execv": set(),
    "os.execve": set(),
    "os.execvp": set(),
    "os.posix_spawn": set(),
    "os.spawnv": set(),
    "os.mkfifo": set(),
    # Forks that run on in our own code, of a process that has no thread.
    "os.fork": {"scan/child.py", "live/workers/worker.py"},
    "fcntl.flock": set(),
    "multiprocessing.get_context": {"host/workers.py"},
    "forkserver.ensure_running": {"host/workers.py"},
    "tempfile.gettempdir": set(),
    "shutil.which": set(),
}
# A process of multiprocessing's is started by host.workers.start(); these `start` other things.
NAMES = {"O_CREAT": {"recording/writer.py", "result/directory.py"}, "O_TMPFILE": {"outputs.py"}}
# Folders made elsewhere are outputs, whose place the user names, or lie in a folder of ours.
FOLDERS = {
    "guise/plain.py",
    "image/initrd.py",
    "image/kernel.py",
    "image/overlay.py",
    "image/packages.py",
    "live/provision/course.py",
    "outputs.py",
    "result/directory.py",
}


def place(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


OTHERS = [path for path in SOURCES if not place(path).startswith("ours/")]


def used(tree: ast.AST) -> Iterator[str]:
    """Modules imported, also `from` which; dotted names and attributes as they are written."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute):
            yield ast.unparse(node)


@cache
def words_of(path: Path) -> frozenset[str]:
    """What a file uses, read once."""
    return frozenset(used(parsed(path)))


def test_nobody_goes_round_ours() -> None:
    assert not [line for path in OTHERS for line in round_ours(place(path), words_of(path))]


def round_ours(name: str, words: frozenset[str]) -> Iterator[str]:
    """What a file does for itself that is made in vmdedup/ours, in a line each."""
    for table in (MODULES, CALLS):
        for word, others in table.items():
            if word in words and name not in others:
                yield f"{name} uses {word}; vmdedup/ours has it"
    for word, others in NAMES.items():
        if f"os.{word}" in words and name not in others:
            yield f"{name}: {word}; see ours/file.py"
    if any(word.endswith((".mkdir", "os.makedirs", ".mkdtemp")) for word in words) and name not in FOLDERS:
        yield f"{name} makes folders; vmdedup/ours/folder.py does"


def test_what_is_allowed_is_used() -> None:
    """So that no exception stays when its reason has gone."""
    words = {place(path): words_of(path) for path in OTHERS}
    for table in (MODULES, CALLS, {f"os.{name}": others for name, others in NAMES.items()}):
        for name, others in table.items():
            assert all(name in words.get(other, set()) for other in others), f"{name}: {others}"
    for other in FOLDERS:
        assert any(word.endswith(".mkdir") for word in words[other]), other


def test_workers_are_started_in_one_place() -> None:
    """multiprocessing's children: .start() of a Process would go round the safe environment."""
    for path in OTHERS:
        makes = {"context.Process", "multiprocessing.Process"} & words_of(path)
        starts = {"self._process.start", "process.start"} & words_of(path)
        assert not (makes and starts) or place(path) == "host/workers.py", place(path)
