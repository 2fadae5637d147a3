"""The scripts that a kernel is asked: those that are kept in the repository, shortest first, and random ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vmdedup.conform.generator import generate
from vmdedup.errors import UsageError

ALL = "trees"  # what every script is about
# What scripts are about, by the first word of a kept one's name, or a feature of a random one.
SUBJECTS = {
    "advisor": "tunables",
    "any": "merge_any",
    "chains": "chains",
    "corner": "corners",
    "discard": "discard",
    "exit": "exit",
    "everything": "everything",
    "file": "files",
    "fork": "fork",
    "huge": "huge pages",
    "knobs": "tunables",
    "long": "long runs",
    "node": "nodes",
    "nodes": "nodes",
    "numa": "nodes",
    "read": "reads",
    "refused": "tunables",
    "run": "run",
    "run2": "run",
    "smart": "smart scan",
    "swap": "swap",
    "unmap": "unmap",
    "unmerge": "advice",
    "versions": "versions",
    "zero": "zero pages",
}


@dataclass(frozen=True)
class Item:
    """A script and what it is about. folder: where its files are."""

    name: str
    text: str
    folder: Path
    subjects: tuple[str, ...]


def kept() -> list[Item]:
    """The scripts of the repository, shortest first, without those that reclaim: what that finds depends on time.

    UsageError: they are not here.
    """
    folder = _folder()
    found = [_kept(path, folder) for path in sorted(folder.rglob("*.ksm"))]
    return sorted((item for item in found if "\nreclaim " not in item.text), key=lambda item: item.text.count("\n"))


def drawn(count: int, seed: int) -> Iterator[Item]:
    """Random ones; every fourth of two nodes."""
    for number in range(seed, seed + count):
        nodes = 1 if number % 4 else 2
        text = generate(number, nodes=nodes)
        features = text.partition("\n")[0].split()[4:]
        yield Item(f"random {number}", text, Path(), _subjects([*features, *["nodes"] * (nodes - 1)]))


def _kept(path: Path, folder: Path) -> Item:
    words = [part for part in path.relative_to(folder).parent.parts if part != "kernels"]
    return Item(path.stem, path.read_text(), path.parent, _subjects([*words, *path.stem.split("-")]))


def _subjects(words: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([ALL, *(SUBJECTS[word] for word in words if word in SUBJECTS)]))


def _folder() -> Path:
    """Beside the package in a clone, inside it once installed."""
    package = Path(__file__).parent.parent
    for folder in (package / "share" / "golden", package.parent / "tests" / "golden"):
        if folder.is_dir():
            return folder
    raise UsageError(f"no scripts beside {package}; install vmdedup again, or use a clone")
