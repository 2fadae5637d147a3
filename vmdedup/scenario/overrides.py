"""What flags change in a scenario before it is checked, so that flags are checked as the file is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vmdedup.errors import UsageError
from vmdedup.late import load
from vmdedup.scenario.problems import Path

if TYPE_CHECKING:
    from vmdedup.ksm.listing import Listing
    from vmdedup.scenario.alternatives import Alternative
    from vmdedup.scenario.measured import AsMeasured

_TAKE_OVER = "vmdedup.scenario.listed:take_over"


@dataclass(frozen=True)
class Overrides:
    """Flags of `vmdedup run`; None (or nothing) leaves the scenario as it is. knobs: KNOB=VALUE."""

    guests: int | None = None
    memory: str | None = None
    workload: str | None = None
    seed: int | None = None
    knobs: Sequence[str] = ()
    duration: str | None = None
    clock: str | None = None
    prices: str | None = None  # built-in or host
    kernel: str | None = None  # the version of Linux that ksmd does as
    policy: str | None = None
    policy_knobs: Sequence[str] = ()  # of that policy, KNOB=VALUE
    budget: str | None = None  # pages, or cpu=SHARE
    costs: str | None = None
    ksm_from: Listing | None = None  # of a kernel's tunables; knobs are written over it
    alternative: Alternative | None = None  # other means against too little memory
    measured: AsMeasured | None = None  # what real guests did, to be done again

    def apply(self, data: dict[str, Any]) -> dict[Path, str]:
        """Write the flags into the scenario's data. Returns the flag behind each key that was changed."""
        flags: dict[Path, str] = {}
        for key in ("seed", "duration", "clock"):
            if (value := getattr(self, key)) is not None:
                data[key] = value
                flags[(key,)] = f"--{key}"
        self._apply_to_ksm(data, flags)
        self._apply_to_policy(data, flags)
        for number, group in enumerate(_groups(data)):
            self._apply_to_group(group, ("guests", number), flags)
        if self.guests is not None:
            self._share_out(_groups(data), flags)
        if self.measured is not None:
            flags.update(self.measured.apply(data))
        if self.alternative is not None:
            flags.update(self.alternative.apply(data))
        return flags

    def _apply_to_ksm(self, data: dict[str, Any], flags: dict[Path, str]) -> None:
        keys = {name: value for name in ("prices", "kernel") if (value := getattr(self, name)) is not None}
        if self.ksm_from is None and not self.knobs and not keys:
            return
        section = data.setdefault("ksm", {})
        if not isinstance(section, dict):
            return  # which is refused later
        said = [(*_split(knob), f"--set {knob}") for knob in self.knobs]
        if self.ksm_from is not None:
            data["ksm"] = section = load(_TAKE_OVER)(section, self.ksm_from, {knob: text for knob, text, _ in said})
            flags.update({("ksm", name): f"--ksm-from {self.ksm_from.name}" for name in self.ksm_from.tunables})
        for name, value, flag in said:
            section[name] = value
            flags["ksm", name] = flag
        for name, value in keys.items():
            section[name] = value
            flags["ksm", name] = f"--{name} {value}"

    def _apply_to_policy(self, data: dict[str, Any], flags: dict[Path, str]) -> None:
        if self.policy is None and not self.policy_knobs and self.budget is None:
            return
        section = data.setdefault("policy", {})
        if not isinstance(section, dict):
            return  # which is refused later
        if self.policy is not None:
            if section.get("name", "ksm") != self.policy:
                section.pop("tunables", None)
            section["name"] = self.policy
            flags["policy", "name"] = f"--policy {self.policy}"
        for knob in self.policy_knobs:
            name, value = _split(knob, "--policy-set")
            section.setdefault("tunables", {})[name] = value
            flags["policy", "tunables", name] = f"--policy-set {knob}"
        if self.budget is not None:
            self._apply_budget(section, flags)
        if self.costs is not None:
            section.setdefault("costs", self.costs)

    def _apply_budget(self, section: dict[str, Any], flags: dict[Path, str]) -> None:
        kind, _, share = (self.budget or "").partition("=")
        section.pop("cpu", None)
        section["budget"] = kind
        if share:
            section["cpu"] = share
        flags["policy", "budget"] = flags["policy", "cpu"] = f"--budget {self.budget}"

    def _apply_to_group(self, group: dict[str, Any], path: Path, flags: dict[Path, str]) -> None:
        if self.memory is not None:
            group["memory"] = self.memory
            flags[(*path, "memory")] = "--memory"
        if self.workload is not None and group.get("workload") != self.workload:
            group["workload"] = self.workload
            group.pop("parameters", None)
            flags[(*path, "workload")] = "--workload"

    def _share_out(self, groups: list[dict[str, Any]], flags: dict[Path, str]) -> None:
        """Give the groups so many guests in proportion to what they had, at least one to each."""
        assert self.guests is not None
        if self.guests < len(groups):
            least = f"the scenario has {len(groups)} groups of guests" if len(groups) > 1 else "a run needs a guest"
            raise UsageError(f"--guests {self.guests}: {least}; give at least {max(1, len(groups))}")
        counts = _shares(self.guests, [_count(group) for group in groups])
        for number, (group, count) in enumerate(zip(groups, counts, strict=True)):
            group["count"] = count
            flags["guests", number, "count"] = "--guests"
            _keep_events(group, count)


def _keep_events(group: dict[str, Any], count: int) -> None:
    """Leave guests that no longer exist out of the group's events."""
    for event in group.get("events", []):
        if isinstance(event, dict) and isinstance(event.get("guests"), list):
            event["guests"] = [guest for guest in event["guests"] if isinstance(guest, int) and guest < count]


def _groups(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The groups of guests, as far as the data have that shape; what has not is refused later."""
    groups = data.get("guests")
    return [group for group in groups if isinstance(group, dict)] if isinstance(groups, list) else []


def _count(group: Mapping[str, Any]) -> int:
    count = group.get("count", 1)
    return count if isinstance(count, int) and count > 0 else 1


def _shares(total: int, weights: list[int]) -> list[int]:
    """total in whole parts proportional to the weights (largest remainders), each part at least 1."""
    spare = total - len(weights)
    exact = [spare * weight / sum(weights) for weight in weights]
    parts = [int(part) for part in exact]
    by_remainder = sorted(range(len(parts)), key=lambda i: (parts[i] - exact[i], i))
    for i in by_remainder[: spare - sum(parts)]:
        parts[i] += 1
    return [part + 1 for part in parts]


def _split(knob: str, flag: str = "--set") -> tuple[str, str]:
    name, equals, value = knob.partition("=")
    if not equals or not name:
        raise UsageError(f"{flag} {knob!r} is not KNOB=VALUE; write for example {flag} pages_to_scan=1000")
    return name.strip(), value.strip()
