"""What is to be run: the scenario's sections, key by key. The only importer of pydantic.

Sizes, durations and shares are written with units (vmdedup.units) and kept as bytes, nanoseconds, fractions.
Every tunable of KSM is declared in ksm.sysfs, every parameter of a guest beside what it steers; here they are
only keys.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    create_model,
)
from pydantic_core import PydanticCustomError

from vmdedup.errors import KnobError, UsageError
from vmdedup.host.thp import TUNABLES as KHUGEPAGED
from vmdedup.ksm.profile import DEFAULT, Profile, profile
from vmdedup.ksm.sysfs import ADVISOR_MODES, TUNABLES, Tunable, as_written, in_turn
from vmdedup.late import load
from vmdedup.scenario.problems import Path, Problem
from vmdedup.shown import quoted, suggest
from vmdedup.units import PAGE_SIZE, exact_duration, parse_duration, parse_share, parse_size

if TYPE_CHECKING:
    from vmdedup.host.swap_device import SwapDevice

MOST_PROBLEMS = 1000


def _read_by(parse: Callable[[Any], Any]) -> BeforeValidator:
    """A validator that reads a value with its unit and passes the unit's own complaint on."""

    def read(value: object) -> object:
        try:
            return parse(value)
        except UsageError as error:
            raise refuse(str(error)) from None

    return BeforeValidator(read)


def refuse(complaint: str) -> PydanticCustomError:
    """A validation error whose message is exactly the complaint."""
    return PydanticCustomError("meaning", "{complaint}", {"complaint": complaint})


Size = Annotated[int, _read_by(parse_size)]
Duration = Annotated[int, _read_by(parse_duration), PlainSerializer(exact_duration, when_used="json")]
Share = Annotated[float, _read_by(parse_share)]
MOST_ALONE: Final = 48  # guests that have a process each if nothing is said
Declared = dict[str, Any]  # checked key by key against the declaration, in scenario.checks


def _name(value: object) -> object:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}", value):
        raise refuse(f"{quoted(value)} is no name; give up to 32 letters, digits, '-', '_' or '.'")
    return value


def _node(value: object) -> object:
    if value != "spread" and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise refuse(f"{quoted(value)} is no NUMA node; give a number from 0, or 'spread'")
    return value


Name = Annotated[str, BeforeValidator(_name)]
Node = Annotated[int | str, BeforeValidator(_node)]


class Section(BaseModel):
    """A table of the file; keys that it does not know are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _usual(tunable: str) -> int:
    return KHUGEPAGED[tunable][0]


class KhugepagedSection(Section):
    """Tunables of transparent_hugepage/khugepaged."""

    pages_to_scan: int = Field(_usual("pages_to_scan"), ge=1)
    scan_sleep_millisecs: int = Field(_usual("scan_sleep_millisecs"), ge=1)
    max_ptes_none: int = Field(_usual("max_ptes_none"), ge=0, le=511)
    max_ptes_shared: int = Field(_usual("max_ptes_shared"), ge=0, le=511)


class SwapSection(Section):
    """What the host swaps to."""

    kind: Literal["disk", "zram", "zswap"]
    size: Size = Field(ge=PAGE_SIZE, le=1 << 46)  # of the pages that it can have, before they are compressed
    pool: Size | None = Field(None, ge=PAGE_SIZE)  # zswap: host memory that compressed pages may take; absent: a fifth

    @property
    def device(self) -> SwapDevice:
        """As a host has it."""
        made: SwapDevice = load("vmdedup.host.swap_device:SwapDevice")(self.kind, self.size, self.pool)
        return made


class HostSection(Section):
    """The physical machine, and how finely time is cut."""

    memory: Size | None = Field(None, ge=PAGE_SIZE)  # absent: as much as the guests believe they have
    tick: Duration = Field(100_000_000, gt=0)  # guests run this long, then ksmd its share (lockstep)
    sample_interval: Duration = Field(1_000_000_000, gt=0)  # between two rows of the series
    warm_up: Duration = 0  # guests live so long before ksmd starts and anything is measured (lockstep)
    pages: Literal["bytes", "fingerprints"] = "bytes"  # what a page is: its bytes, or 8 that stand for them
    numa_nodes: int = Field(1, ge=1, le=8)
    guests_per_worker: int | None = Field(None, ge=1, le=4096)  # guests that one process emulates; see workers()
    # transparent_hugepage/enabled, as hosts of QEMU have it
    huge_pages: Literal["always", "madvise", "never"] = "madvise"
    swap: SwapSection | None = None
    khugepaged: KhugepagedSection = Field(default_factory=lambda: KhugepagedSection.model_validate({}))


class Event(Section):
    """Something that happens to guests of a group at a given time."""

    at: Duration  # since the run began
    do: Literal["pause", "resume", "reboot", "leave", "move", "balloon"]
    node: Annotated[int, Field(ge=0)] | None = None  # move: the NUMA node that it goes to, with all its memory
    target: Size | None = None  # balloon: the memory that the guest is left with from now on; 0: all
    guests: list[Annotated[int, Field(ge=0)]] | None = None  # numbers within the group; absent: all


class GuestSection(Section):
    """A group of alike guests."""

    name: Name = "vm"
    count: int = Field(1, ge=1, le=4096)
    memory: Size = 128 << 20
    workload: str = "boot"
    parameters: Declared = {}
    image: str | None = None  # a memory dump: the guest has these contents from the start, and no workload
    replay: str | None = None  # a recording: the guest lives what was recorded, and has no workload
    model: str | None = None  # a model of a kind of guests (vmdedup learn): each guest is made from it
    guest: str | None = None  # which guest of the recording; absent: the n-th guest replays the n-th, counted round
    speed: float | None = Field(None, gt=0, strict=False)  # of a replay: recorded seconds in one of virtual time
    disk: Declared = {}
    variant: Declared = {}
    variants: Literal["shared", "own"] = "shared"  # one release for the group, or one for each guest
    heap: Declared = {}
    boot: Declared = {}  # parameters of the boot that comes before any workload
    balloon: Declared = {}
    free_pages: Any = None  # this and the next four: see guest.spec
    aslr: Any = None
    jitter: Any = None
    kernel_mib: Any = None
    free_page_reporting: Any = None
    huge_pages: bool = True  # whether its memory is advised to have huge pages (MADV_HUGEPAGE, as QEMU does)
    mergeable: bool = True  # whether KSM, or the policy, may merge its memory (QEMU: nosharepages if not)
    domain: int = Field(0, ge=0)  # whom it trusts: policies that share within a domain only go by it
    node: Node = "spread"  # NUMA node, or guest after guest on the next one
    start: Literal["together", "one_after_another"] = "together"
    start_at: Duration = 0
    delay: Duration = 1_000_000_000  # between two starts, one_after_another
    events: list[Event] = []
    _recorded: tuple[str, ...] = ()

    def numbered(self, name: str) -> list[str]:
        """A name for each guest: the given one, and a number where there are several."""
        return [f"{name}-{number}" for number in range(self.count)] if self.count > 1 else [name]

    @property
    def from_image(self) -> bool:
        """Whether its memory comes from a dump, a recording or a model (scenario.images)."""
        return self.source is not None

    @property
    def source(self) -> tuple[str, str] | None:
        """The key that names where its memory comes from, and the file; None: it is emulated."""
        named = ((key, getattr(self, key)) for key in ("image", "replay", "model"))
        return next(((key, path) for key, path in named if path is not None), None)

    @property
    def recorded(self) -> tuple[str, ...]:
        """Names of all guests of the recording that it replays, once somebody has looked (scenario.images)."""
        return self._recorded

    def that_replays(self, names: Iterable[str]) -> Self:
        """The same group, which knows the guests of its recording."""
        group = self.model_copy()
        group._recorded = tuple(names)
        return group


def _knob(tunable: Tunable) -> Any:
    """The annotation of one tunable: its text as the kernel's file takes it."""

    def check(value: object) -> str:
        text = as_written(str(int(value)) if isinstance(value, bool) else str(value))
        try:
            tunable.parse(text)
        except KnobError as error:
            raise refuse(f"{error}; {accepted(tunable)}") from None
        return text

    return Annotated[str, BeforeValidator(check)]


def accepted(tunable: Tunable) -> str:
    """What a tunable takes, in words."""
    if tunable.kind == "mode":
        return "give none or scan-time"
    if tunable.kind == "boolean":
        return "give 0 or 1"
    unit = f" ({tunable.unit})" if tunable.unit else ""
    return f"give a whole number{unit} from {tunable.low} to {tunable.high}"


def _version(value: object) -> object:
    if not isinstance(value, str):  # 6.10 is no number
        raise refuse(f'{quoted(value)} is no text; write a version as "6.1"')
    try:
        return str(profile(value))
    except UsageError as error:
        raise refuse(str(error)) from None


Kernel = Annotated[str, BeforeValidator(_version)]


class KsmBase(Section):
    """The tunables that a run starts with, and by which prices ksmd's CPU time goes; see run.pricing."""

    kernel: Kernel | None = None  # the version of Linux that the emulated ksmd does as; absent: 6.18
    page_cost: Duration | None = Field(None, gt=0)  # CPU time of ksmd for any page, lockstep only; absent: by the list
    prices: Literal["built-in", "host"] | None = None  # absent: virtual time built-in, the bill by this host's

    @property
    def profile(self) -> Profile:
        """What the emulated ksmd does."""
        return profile(self.kernel) if self.kernel is not None else DEFAULT

    def tunables(self) -> dict[str, str]:
        """Tunables that the scenario sets, as text for the kernel's files, in the order to write them."""
        said = {name: text for name in TUNABLES if (text := getattr(self, name)) is not None}
        return {name: said[name] for name in in_turn(said)}

    def all_tunables(self) -> dict[str, str]:
        """Every tunable as the run has it, said or by default; those that the advisor sets are left to it."""
        said = self.tunables()
        there = {name: tunable for name, tunable in TUNABLES.items() if self.profile.has(name)}
        defaults = {name: str(tunable.default) for name, tunable in there.items() if name != "advisor_mode"}
        if "advisor_mode" not in there:
            return {**defaults, **said, "run": said.get("run", "0")}
        mode = {"advisor_mode": said.get("advisor_mode", ADVISOR_MODES[0])}
        if mode["advisor_mode"] != ADVISOR_MODES[0]:
            defaults.pop("pages_to_scan")
        return {**defaults, **said, **mode, "run": said.get("run", "0")}


if TYPE_CHECKING:
    KsmSection = KsmBase
else:
    _KNOBS = {name: (_knob(tunable) | None, None) for name, tunable in TUNABLES.items()}
    KsmSection = create_model("KsmSection", __base__=KsmBase, **_KNOBS)


class PolicySection(Section):
    """Who scans, and with which budget; see scenario.policy."""

    name: str = "ksm"  # of `vmdedup policy list`, or FILE.py[:CLASS], from the folder of the scenario's file
    budget: Literal["pages", "cpu"] | None = None  # absent: cpu if a share is given, else pages
    cpu: Share | None = Field(None, gt=0, le=1)  # share of one core, by the price list of policy.work
    costs: Literal["page_cost", "operations"] | None = None  # absent: page_cost for ksm with a budget of pages
    tunables: Declared = {}

    @property
    def is_plain(self) -> bool:
        """Whether the host has its ksmd, and no policy in its place."""
        return self.name == "ksm" and self.cpu is None and self.costs != "operations"


def _expected(value: object) -> object:
    load("vmdedup.expect:parse_expectation")(value)
    return value


class ExpectSection(Section):
    """One thing that the run is expected to come to; see vmdedup.expect."""

    that: Annotated[str, _read_by(_expected)]


class Scenario(Section):
    """A whole scenario; see the files in scenario/builtin for what one looks like."""

    title: str = ""
    name: Name = "scenario"
    seed: int = Field(1, ge=0, lt=1 << 63)
    duration: Duration = Field(60_000_000_000, gt=0)
    clock: Literal["lockstep", "wall"] = "lockstep"
    host: HostSection = Field(default_factory=lambda: HostSection.model_validate({}))
    ksm: KsmSection = Field(default_factory=lambda: KsmSection.model_validate({}))
    policy: PolicySection = Field(default_factory=lambda: PolicySection.model_validate({}))
    guests: list[GuestSection] = Field(min_length=1, max_length=4096)
    expect: list[ExpectSection] | None = Field(None, max_length=1000)

    @property
    def pages(self) -> int:
        """Pages that all guests together believe they have."""
        return sum(group.count * (group.memory // PAGE_SIZE) for group in self.guests)

    @property
    def guest_count(self) -> int:
        """How many guests there are in all."""
        return sum(group.count for group in self.guests)

    def workers(self, cores: int) -> int:
        """How many processes emulate the guests. If nothing is said, one each; of more guests than some dozens, and in
        virtual time, as many as there are cores.
        """
        said, count = self.host.guests_per_worker, self.guest_count
        if said is not None:
            return -(-count // said)
        return count if count <= MOST_ALONE or self.clock == "wall" else min(count, cores)


def validate(data: Mapping[str, Any]) -> tuple[Scenario | None, list[Problem]]:
    """The scenario that the data describe, or None and everything that keys and values have wrong."""
    try:
        return Scenario.model_validate(data), []
    except ValidationError as error:
        return None, [_problem(details) for details in error.errors(include_url=False)[:MOST_PROBLEMS]]


def _problem(details: Any) -> Problem:
    """A pydantic error as a sentence with its remedy."""
    path, kind = tuple(details["loc"]), details["type"]
    if kind == "extra_forbidden":
        return Problem(path, f"unknown key; {suggest(str(path[-1]), _keys_at(path[:-1]))}")
    if kind == "missing":
        return Problem(path, "this key is missing; add it")
    if kind == "too_long":
        return Problem(
            path, f"there are {details['ctx']['actual_length']}; give at most {details['ctx']['max_length']}"
        )
    if kind == "meaning":
        return Problem(path, details["msg"])
    if kind == "model_type":
        return Problem(path, f"{quoted(details['input'])} is no table; write [{path[-1]}] and its keys below it")
    return Problem(path, f"{quoted(details['input'])} will not do; give {_wanted(details['msg'])}")


def _wanted(message: str) -> str:
    """What pydantic wants, in plain words."""
    wanted = message.removeprefix("Input should be ").removeprefix("Input should ")
    for theirs, ours in (("greater than or equal to", "at least"), ("greater than", "more than")):
        wanted = wanted.replace(theirs, ours)
    return wanted


def _keys_at(path: Path) -> list[str]:
    """The keys that the table at a path may have."""
    model: Any = Scenario
    for step in path:
        if isinstance(step, str):
            model = next(t for t in _models_of(model.model_fields[step].annotation))
    return list(model.model_fields)


def _models_of(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models inside an annotation such as list[Model]."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_of(argument)
