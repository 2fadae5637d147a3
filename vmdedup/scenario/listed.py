"""Tunables that a listing of a kernel's own files has, put into a scenario: [ksm] from, and run --ksm-from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from vmdedup.errors import ScenarioError
from vmdedup.ksm.listing import Listing, read_listing
from vmdedup.ksm.sysfs import as_written
from vmdedup.scenario.problems import Path, Problem


def listing_of(path: FilePath) -> Listing:
    """The listing in a file. UsageError: FILE:LINE, what is wrong with it and what to do."""
    return read_listing(path)


def take_from(data: dict[str, Any], folder: FilePath | None) -> tuple[Listing | None, list[Problem]]:
    """Put what the file of [ksm] from lists, which is there, into [ksm], wherever the scenario itself says nothing."""
    section = data["ksm"]
    name = section.pop("from")
    place: Path = ("ksm", "from")
    if not isinstance(name, str) or not name:
        return None, [Problem(place, "this is no file's name; give the listing of a kernel's tunables")]
    try:
        listing = read_listing((folder or FilePath()) / name, ScenarioError)
    except ScenarioError as error:
        return None, [Problem(place, str(error))]
    data["ksm"] = _without_advised({**listing.tunables, **section}, section)
    return listing, []


def take_over(section: Mapping[str, Any], listing: Listing, knobs: Mapping[str, Any]) -> dict[str, Any]:
    """[ksm] with what is listed in place of what it says, and knobs in place of both."""
    return _without_advised({**section, **listing.tunables, **knobs}, knobs)


def note_of(listing: Listing, section: Mapping[str, Any]) -> str:
    """What of a listing was not taken into [ksm], or does nothing there; nothing if all is as it is listed."""
    said = []
    if listing.counters:
        said.append(f"counters are left out ({', '.join(listing.counters)})")
    if "pages_to_scan" in listing.tunables and "pages_to_scan" not in section:
        said.append("pages_to_scan is left out, which the advisor sets")
    if str(section.get("run")) == "0":
        said.append("run is 0, so ksmd does not run (--set run=1)")
    return f"{listing.name}: {'; '.join(said)}" if said else ""


def _without_advised(section: dict[str, Any], explicit: Mapping[str, Any]) -> dict[str, Any]:
    """The kernel lists pages_to_scan also where its advisor sets it, and refuses what is written then."""
    if as_written(str(section.get("advisor_mode"))) == "scan-time" and "pages_to_scan" not in explicit:
        section.pop("pages_to_scan", None)
    return section
