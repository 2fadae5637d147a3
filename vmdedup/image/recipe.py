"""Recipes of images: a directory with recipe.toml and the files that go into the image."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from vmdedup.errors import UsageError
from vmdedup.shown import suggest
from vmdedup.toml import read_toml

BUILDER = 1  # part of every digest: a new number has all images built anew
READY = "VMDEDUP-READY"
NAME_ARGUMENT = "vmdedup.name="
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
T = TypeVar("T")


@dataclass(frozen=True)
class Kernel:
    """[kernel]: the package that has it, or that depends on the one that has it, and the modules to be loaded."""

    package: str
    modules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Initrd:
    """[initrd]: what of which packages is taken into the initial memory disk (patterns of paths), and own files."""

    packages: tuple[str, ...]
    take: tuple[str, ...]
    overlay: str


@dataclass(frozen=True)
class DiskRecipe:
    """[disk]: a Debian release and packages of it, paths left out, own files, a script run in the tree, the size."""

    suite: str
    packages: tuple[str, ...]
    size_mib: int
    overlay: str
    exclude: tuple[str, ...] = ()
    finish: str = ""


@dataclass(frozen=True)
class Recipe:
    """One image. directory: where the recipe stands; digest: SHA-256 of all of it, in hexadecimal."""

    name: str
    directory: Path
    digest: str
    description: str
    memory_mib: int
    cmdline: str
    kernel: Kernel
    initrd: Initrd
    disk: DiskRecipe | None = None


def recipe_names() -> list[str]:
    """The names of all recipes, sorted."""
    return sorted(path.parent.name for path in recipes_folder().glob("*/recipe.toml"))


def recipes_folder() -> Path:
    """Where recipes stand: beside the package in a clone, inside it once installed. Raises UsageError."""
    package = Path(__file__).parent.parent
    for folder in (package / "share" / "images", package.parent / "images"):
        if folder.is_dir():
            return folder
    raise UsageError(f"no recipes of images beside {package}; install vmdedup again, or use a clone")


def load_recipe(name: str, folder: Path | None = None) -> Recipe:
    """Read the recipe of that name. Raises UsageError: no such recipe, or the file, the key, and the remedy."""
    file = recipe_file(name, folder)
    table = read_toml(file, UsageError)
    own = {"name": name, "directory": file.parent, "digest": digest_of(file.parent)}
    recipe = _read(Recipe, table, str(file), "", own)
    _check_files(recipe, file)
    return recipe


def recipe_file(name: str, folder: Path | None = None) -> Path:
    """Where the recipe of that name is. UsageError: there is none."""
    folder = folder or recipes_folder()
    file = folder / name / "recipe.toml"
    if not _NAME.fullmatch(name) or not file.is_file():
        names = sorted(path.parent.name for path in folder.glob("*/recipe.toml"))
        raise UsageError(f"no image {name!r}; there are {', '.join(names)}")
    return file


def digest_of(directory: Path) -> str:
    """SHA-256 over names and contents of all files below a directory, and the builder's version."""
    total = hashlib.sha256(f"builder {BUILDER}\n".encode())
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{path.relative_to(directory)}\0{content}\n".encode())
    return total.hexdigest()


def _read(kind: type[T], table: Mapping[str, Any], file: str, prefix: str, own: Mapping[str, Any]) -> T:
    """A table of the file as a dataclass. own: fields that are not in the file."""
    hints = get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind) if field.name not in own}  # type: ignore[arg-type]
    for key in table:
        if key not in fields:
            raise UsageError(f"{file}: unknown key {prefix}{key}; {suggest(key, fields)}")
    values = dict(own)
    for name, field in fields.items():
        if name in table:
            values[name] = _value(hints[name], table[name], file, f"{prefix}{name}")
        elif field.default is dataclasses.MISSING:
            raise UsageError(f"{file}: {prefix}{name} is missing; every recipe has one")
    return kind(**values)


def _value(hint: Any, value: Any, file: str, key: str) -> Any:
    for section in (Kernel, Initrd, DiskRecipe):
        if hint in (section, section | None):
            if not isinstance(value, dict):
                raise UsageError(f"{file}: {key} is no table; write [{key}]")
            return _read(section, value, file, f"{key}.", {})
    if hint is int:
        if type(value) is not int or value < 1:
            raise UsageError(f"{file}: {key} = {value!r} will not do; give a whole number of at least 1")
        return value
    if hint is str:
        if not isinstance(value, str) or not value or "\n" in value:
            raise UsageError(f"{file}: {key} = {value!r} will not do; give one line of text in quotes")
        return value
    if not isinstance(value, list) or not all(isinstance(word, str) and word for word in value):
        raise UsageError(f"{file}: {key} = {value!r} will not do; give a list of texts")
    return tuple(value)


def _check_files(recipe: Recipe, file: Path) -> None:
    """The files that a recipe names stand beside it."""
    named = {"initrd.overlay": recipe.initrd.overlay}
    if recipe.disk is not None:
        named |= {"disk.overlay": recipe.disk.overlay, "disk.finish": recipe.disk.finish}
    for key, name in named.items():
        there = file.parent / name
        if name and not (there.is_dir() if key.endswith("overlay") else there.is_file()):
            raise UsageError(f"{file}: {key} = {name!r}: there is no {there}")
