"""What the JSON documents of results look like: the one place that looks, when they are read.

Keys that are not declared are kept: later versions write more. What is declared has the right type, and a bound.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vmdedup.errors import UsageError

Name = Annotated[str, Field(max_length=1024)]
Text = Annotated[str, Field(max_length=65536)]
Drawn = Annotated[float, Field(ge=-1e15, le=1e15)]


class _Document(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)


Model = TypeVar("Model", bound=_Document)


class Event(_Document):
    """Something that happened in a run."""

    time_s: float
    text: Text


class Worst(_Document):
    """When the host used most."""

    time_s: float
    used_pages: Annotated[int, Field(ge=0)]
    host_pages: Annotated[int, Field(ge=0)]
    full: bool


class Host(_Document):
    """What an emulated host got."""

    guests_bytes: int
    host_bytes: int
    available_bytes: int
    capped: bool


class Kill(_Document):
    """A guest that was killed because no memory was left."""

    guest: Name
    time_s: float
    resident_pages: Annotated[int, Field(ge=0)]
    swapped_pages: Annotated[int, Field(ge=0)]
    table_pages: Annotated[int, Field(ge=0)]


class Run(_Document):
    """run.json."""

    name: Name
    seed: int
    clock: Name
    page_size: Annotated[int, Field(ge=1, le=2**30)]
    ended: Name
    events: list[Event]
    worst: Worst | None = None
    host: Host | None = None
    killed: list[Kill] = []
    copy_ns: float | None = None
    is_bound: bool = False
    backend: Name = "emulator"
    policy: Name = "ksm"
    knobs: dict[Name, str | int | float | bool | None] = {}
    scenario: dict[str, Any] = {}
    versions: dict[Name, Name] = {}
    machine: dict[Name, str | int | float | None] = {}

    @model_validator(mode="after")
    def _sections(self) -> Run:
        """Those parts of the scenario that are looked into are tables."""
        for name in ("ksm", "policy"):
            if not isinstance(self.scenario.get(name) or {}, dict):
                raise ValueError(f"scenario.{name} is no table")
        wanted = self.scenario.get("expect") or []
        if not isinstance(wanted, list) or not all(isinstance(e, dict) and "that" in e for e in wanted):
            raise ValueError("scenario.expect is no list of tables with that")
        return self


class Policies(_Document):
    """policies.json: which runs stand beside it, by the names of their folders."""

    class Part(_Document):
        """One of them; what it came to is read from its own folder."""

        policy: Annotated[str, Field(pattern=r"^[^/\x00-\x1f]{1,255}$")]

        @model_validator(mode="after")
        def _below(self) -> Policies.Part:
            if self.policy in (".", ".."):
                raise ValueError("policy is no folder's name")
            return self

    policies: Annotated[list[Part], Field(min_length=1, max_length=1024)]


class Row(_Document):
    """A figure of an experiment. ours: the mean over so many seeds; low, high: the least and the most of them."""

    figure: Text
    unit: Name
    paper: float | None
    ours: float
    low: float
    high: float
    seeds: Annotated[int, Field(ge=1, le=1000)]
    difference: float | None
    verdict: Literal[
        "level agrees",
        "direction only",
        "disagrees",
        "put in",
        "no figure published",
        "own claim holds",
        "own claim fails",
    ]
    rule: Text


class Curve(_Document):
    """A line, or bars where x is words; without x a level."""

    label: Name
    panel: Name
    kind: Literal["", "paper", "possible"]
    x: list[Drawn] | list[Name]
    y: list[Drawn]

    @model_validator(mode="after")
    def _as_long(self) -> Curve:
        if len(self.y) != (len(self.x) or 1):
            raise ValueError("x and y are not of one length")
        return self


class Experiment(_Document):
    """A published experiment, run."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
    title: Name
    source: Text
    certainty: Text
    stand_in: Text
    note: Text
    rows: list[Row]
    axes: Annotated[list[Name], Field(min_length=2, max_length=2)]
    log: Literal["", "x", "y", "xy"]
    curves: Annotated[list[Curve], Field(max_length=256)]


class Experiments(_Document):
    """experiments.json."""

    schema_version: Literal[2]
    command: Text
    experiments: list[Experiment]


def checked(model: type[Model], document: dict[str, Any], path: Path) -> dict[str, Any]:
    """The document, as it was, if it is what the model says. UsageError: the first place where it is not."""
    try:
        model.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the document"
        raise UsageError(f"{path} is not as vmdedup writes it: {place[:200]}: {first['msg']}") from None
    return document
