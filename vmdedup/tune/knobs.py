"""What `vmdedup tune --over` searches: KSM's tunables between bounds that people use, and who steers ksmd."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vmdedup.errors import UsageError
from vmdedup.ksm.sysfs import TUNABLES, as_written
from vmdedup.shown import quoted, suggest

if TYPE_CHECKING:
    from vmdedup.scenario.model import Scenario

Settings = Mapping[str, str]  # by knob, as text: what a scenario is told
POLICY: Final = "policy"
DEFAULT: Final = ("pages_to_scan", "sleep_millisecs", "smart_scan", "use_zero_pages")


@dataclass(frozen=True)
class Knob:
    """One of them. choices: all of its values; else whole numbers from low to high, on a scale of logarithms."""

    name: str
    low: int = 0
    high: int = 0
    choices: tuple[str, ...] = ()


_KNOBS: Final = {
    "pages_to_scan": Knob("pages_to_scan", 10, 100_000),
    "sleep_millisecs": Knob("sleep_millisecs", 1, 2_000),
    "smart_scan": Knob("smart_scan", choices=("0", "1")),
    "use_zero_pages": Knob("use_zero_pages", choices=("0", "1")),
    "advisor": Knob("advisor_mode", choices=("none", "scan-time")),
    "controllers": Knob(POLICY, choices=("ksm", "ksmtuned", "mom", "kubevirt")),
    "zero_only": Knob(POLICY, choices=("ksm", "zero_only")),
    "policy": Knob(POLICY, choices=("ksm", "ksmtuned", "mom", "kubevirt", "zero_only")),
}


def parse_knobs(text: str | None) -> list[Knob]:
    """What --over says; None: the usual ones. UsageError: nothing is called that, or it is there twice."""
    names = list(DEFAULT) if text is None else [name.strip() for name in text.split(",")]
    knobs: dict[str, Knob] = {}
    for name in names:
        if name not in _KNOBS:
            raise UsageError(f"--over: no knob is called {quoted(name)}; {suggest(name, _KNOBS)}")
        knob = _KNOBS[name]
        if knob.name in knobs:
            raise UsageError(f"--over names {knob.name} twice; leave {name} out")
        knobs[knob.name] = knob
    return list(knobs.values())


def todays(scenario: Scenario, knobs: Sequence[Knob]) -> dict[str, str]:
    """What the scenario itself says of each knob. UsageError: its policy is not KSM."""
    if scenario.policy.name != "ksm":
        raise UsageError(
            f"tune searches KSM's settings, and the scenario has {scenario.policy.name}; take it out there"
        )
    return {knob.name: "ksm" if knob.name == POLICY else _today(scenario, knob.name) for knob in knobs}


def _today(scenario: Scenario, name: str) -> str:
    """A tunable as the scenario has it, else as Linux does; as its file takes it."""
    value = getattr(scenario.ksm, name)
    if value is None:
        tunable = TUNABLES[name]
        return as_written(tunable.show(tunable.default))
    return str(int(value)) if isinstance(value, bool) else str(value)


def in_force(settings: Settings) -> Settings:
    """Without what a run does not take over: whoever else steers ksmd does so as it ships."""
    return settings if settings.get(POLICY, "ksm") == "ksm" else {POLICY: settings[POLICY]}


def changed(settings: Settings, today: Settings) -> list[str]:
    """Knobs that are not as they are today. Whoever else steers ksmd does so as it ships: no other knob counts."""
    if settings.get(POLICY, "ksm") != "ksm":
        return [POLICY]
    return [name for name, value in settings.items() if value != today[name]]
