"""From a name or a file to a checked scenario; what is wrong is told with file, line, key and remedy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from vmdedup.errors import ScenarioError
from vmdedup.late import load
from vmdedup.scenario.checks import check, check_values
from vmdedup.scenario.model import Scenario, validate
from vmdedup.scenario.overrides import Overrides
from vmdedup.scenario.policy import start_policy_at
from vmdedup.scenario.problems import Path, Problem
from vmdedup.shown import suggest
from vmdedup.toml import TomlError, parse, read_text

if TYPE_CHECKING:
    from vmdedup.ksm.listing import Listing

DEFAULT = "identical"


@dataclass(frozen=True)
class Source:
    """A scenario's text. name: as it is written in messages. folder: where relative paths of disks start."""

    name: str
    text: str
    folder: FilePath | None = None

    def error(self, line: int, text: str) -> ScenarioError:
        """FILE:LINE: what is wrong; remedy."""
        return ScenarioError(f"{self.name}:{line}: {text}")


def load_scenario(
    name: str | FilePath = DEFAULT,
    overrides: Overrides | None = None,
    runs: bool = True,
    say: Callable[[str], None] = lambda note: None,
) -> Scenario:
    """The scenario of a built-in name, or in a TOML file, as the overrides have it.

    runs: whether a policy's own Python file is run, which tells its tunables. say: is told what of a listing of
    tunables was left out.

    Raises ScenarioError: one line that says where, what and what to do.
    """
    source = find_source(name)
    data = _parse(source)
    data.setdefault("name", FilePath(str(name)).stem)
    overrides = overrides or Overrides()
    problems = check_values(data)
    listing, more = _listed(data, source.folder) if not problems else (None, [])
    if problems := problems or more:
        raise _first(source, problems, {})
    start_policy_at(data, source.folder)
    flags = overrides.apply(data)
    scenario, problems = validate(data)
    if scenario is not None:
        problems = check(scenario, runs)
    if scenario is not None and not problems and any(group.from_image for group in scenario.guests):
        scenario, problems = load("vmdedup.scenario.images:with_images")(scenario, source.folder)
    if problems or scenario is None:
        raise _first(source, problems, flags)
    for each in (listing, overrides.ksm_from):
        if each is not None and (note := load("vmdedup.scenario.listed:note_of")(each, data["ksm"])):
            say(note)
    return _with_disk_paths(scenario, source.folder)


def builtin_names() -> list[str]:
    """The scenarios that come with the program, the default first."""
    folder = resources.files("vmdedup.scenario") / "builtin"
    names = sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return sorted(names, key=lambda name: name != DEFAULT)


def find_source(name: str | FilePath) -> Source:
    """The text of a built-in scenario, or of a file (a name that ends in .toml or has a slash in it)."""
    text = str(name)
    if isinstance(name, FilePath) or text.endswith(".toml") or "/" in text:
        return _read_file(FilePath(name))
    if text not in builtin_names():
        near = suggest(text, builtin_names())
        raise ScenarioError(f"no scenario {text!r}; {near} (a file's name ends in .toml)")
    place = resources.files("vmdedup.scenario") / "builtin" / f"{text}.toml"
    return Source(f"{text}.toml", place.read_text(encoding="utf-8"))


def _read_file(path: FilePath) -> Source:
    try:
        return Source(str(path), read_text(path, ScenarioError), path.parent)
    except ScenarioError as error:
        raise ScenarioError(f"{error}; give a readable TOML file, or a name of `vmdedup scenario list`") from None


def _listed(data: dict[str, Any], folder: FilePath | None) -> tuple[Listing | None, list[Problem]]:
    """Tunables that [ksm] from lists, put into [ksm]; what reads listings is loaded where one is named."""
    if not isinstance(section := data.get("ksm"), dict) or "from" not in section:
        return None, []
    found: tuple[Listing | None, list[Problem]] = load("vmdedup.scenario.listed:take_from")(data, folder)
    return found


def _parse(source: Source) -> dict[str, Any]:
    try:
        return parse(source.text)
    except TomlError as error:
        raise source.error(error.line, f"{error}; see `vmdedup scenario show {DEFAULT}`") from None


def _first(source: Source, problems: list[Problem], flags: Mapping[Path, str]) -> ScenarioError:
    """The message for the first thing that is wrong, in the order of the flags, then of the lines."""
    from vmdedup.scenario.lines import find_line, key_lines

    lines = key_lines(source.text)

    def place(problem: Problem) -> tuple[int, int]:
        return (0, 0) if problem.path in flags else (1, find_line(lines, problem.path))

    ordered = sorted(problems, key=place)
    first = ordered[0]
    others = f" (and {len(ordered) - 1} more)" if len(ordered) > 1 else ""
    if first.path in flags:
        return ScenarioError(f"{flags[first.path]}: {first.text}{others}")
    return source.error(place(first)[1], f"key {first.key}: {first.text}{others}")


def _with_disk_paths(scenario: Scenario, folder: FilePath | None) -> Scenario:
    """The scenario with relative paths of disks made to start at the folder of the file."""
    if folder is None or all("path" not in group.disk for group in scenario.guests):
        return scenario
    groups = [
        group.model_copy(update={"disk": {**group.disk, "path": str(folder / group.disk["path"])}})
        if "path" in group.disk
        else group
        for group in scenario.guests
    ]
    return scenario.model_copy(update={"guests": groups})
