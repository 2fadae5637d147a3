"""Groups of guests whose memory comes from a dump, a recording or a model: which keys they have, how large they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path as FilePath

from vmdedup.errors import UsageError
from vmdedup.guest.spec import ImageSpec
from vmdedup.late import load
from vmdedup.scenario.model import GuestSection, Scenario
from vmdedup.scenario.problems import Path, Problem
from vmdedup.units import PAGE_SIZE, format_size

MOST_NAME = 32  # letters, as in a scenario
# Keys that decide what an emulated guest does, which one that comes from an image has done already.
FOREIGN = (
    *("workload", "parameters", "disk", "variant", "variants", "heap", "boot"),
    *("free_pages", "aslr", "jitter", "kernel_mib"),
)


def image_spec(group: GuestSection, number: int) -> ImageSpec:
    """Where the memory of guest `number` of a group that is from an image comes from."""
    if group.image is not None:
        return ImageSpec(group.image)
    if group.model is not None:
        return ImageSpec(group.model, guest=number, model=True)
    assert group.replay is not None
    guest = number if group.guest is None else group.guest
    return ImageSpec(group.replay, True, guest, 1.0 if group.speed is None else group.speed)


def recorded_names(group: GuestSection) -> list[str]:
    """The names of guests that replay: those that were recorded, or the group's, and a number.

    A group that has a name of its own says it before each of them.
    """
    own = "" if group.name == GuestSection.model_fields["name"].default else group.name
    if group.guest is not None or (own and group.count == 1):
        return group.numbered(own or _fit(str(group.guest)))
    recorded = [_fit(f"{own}-{name}" if own else name) for name in group.recorded[: group.count]]
    names: list[str] = []
    for number in range(group.count):
        rounds = number // len(recorded)
        names.append(f"{recorded[number % len(recorded)]}-{rounds}" if rounds else recorded[number])
    return names


def _fit(name: str) -> str:
    """A recorded name, which may hold anything, as guests of a scenario may be called."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", name[:MOST_NAME])
    return plain if plain[:1].isalnum() else f"g{plain}"[:MOST_NAME]


def check_image(group: GuestSection, path: Path) -> Iterator[Problem]:
    """What a group that is from an image says that does not go together with that."""
    said = [key for key in ("image", "replay", "model") if getattr(group, key) is not None]
    for key in said[1:]:
        text = f"a guest comes from its {said[0]} or its {key}, not from both; leave one of them out"
        yield Problem((*path, key), text)
    kind = said[0]
    for key in FOREIGN:
        if key in group.model_fields_set:
            yield Problem((*path, key), f"does not apply to guests whose memory comes from {kind}; leave it out")


def with_images(scenario: Scenario, folder: FilePath | None) -> tuple[Scenario, list[Problem]]:
    """The scenario with each image's path made to start at the folder, and its size as its group's memory.

    Opens each image once; nobody does afterwards until guests start. Returns also what is wrong with them.
    """
    groups, problems = list(scenario.guests), []
    for number, group in enumerate(groups):
        if group.source is None:
            continue
        kind, path = group.source
        groups[number] = placed = group.model_copy(update={kind: str((folder or FilePath()) / path)})
        try:
            pages, names = _looked_at(placed)
            _check_model(placed)
        except UsageError as error:
            problems.append(Problem(("guests", number, kind), str(error)))
            continue
        if "memory" in group.model_fields_set and group.memory != pages * PAGE_SIZE:
            text = f"{format_size(group.memory)} is not what {path} holds; leave it out, or give {pages * PAGE_SIZE}"
            problems.append(Problem(("guests", number, "memory"), text))
        groups[number] = placed.model_copy(update={"memory": pages * PAGE_SIZE}).that_replays(names)
    return scenario.model_copy(update={"guests": groups}), problems


def _looked_at(group: GuestSection) -> tuple[int, list[str]]:
    """Pages of the largest guest of the group, so that one size does for all; names of the guests that it replays."""
    if group.replay is not None and group.guest is None:
        with load("vmdedup.recording.reader:Recording")(group.replay) as recording:
            pages = max(guest.pages for guest in recording.guests[: group.count])
            return pages, [guest.name for guest in recording.guests]
    with closing(load("vmdedup.guest.image:open_life")(image_spec(group, 0))) as life:
        return life.pages, []


def _check_model(group: GuestSection) -> None:
    """UsageError: several guests are to be made from a model that does not know what two of them share."""
    if group.model is None or group.count == 1:
        return
    with closing(load("vmdedup.learn.file:ModelFile")(group.model)) as file:
        if len(file.model.boots) == 1:
            raise UsageError(
                f"{group.model} was learnt from one boot, which does not say what two guests share; learn it from two "
                "boots or more, or give count = 1"
            )
