"""Declared parameters: default, unit, meaning and range stand where the parameter is, and nowhere else."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from vmdedup.errors import UsageError
from vmdedup.shown import quoted, suggest

Value = int | float | str | bool
T = TypeVar("T")


@dataclass(frozen=True)
class Parameter:
    """One parameter of a workload or of a mix.

    name: as written in a scenario. default: its value when nothing is said. unit: "MiB/s", "share", "" for
    counts and names. meaning: one line. low, high: the accepted range, both included; None: open. choices:
    the accepted words, empty if it is a number.
    """

    name: str
    default: Value
    unit: str
    meaning: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def checked(self, value: object) -> Value:
        """The value as this parameter's type. Raises UsageError with the accepted range."""
        if self.choices:
            return self._word(value)
        if isinstance(self.default, bool):
            return self._flag(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._refusal(value, "is not a number")
        if not math.isfinite(value):
            raise self._refusal(value, "is out of range")
        if isinstance(self.default, int) and value != int(value):
            raise self._refusal(value, "is not a whole number")
        if (self.low is not None and value < self.low) or (self.high is not None and value > self.high):
            raise self._refusal(value, "is out of range")
        return type(self.default)(value)

    def _word(self, value: object) -> str:
        if not isinstance(value, str) or value not in self.choices:
            raise self._refusal(value, "is unknown")
        return value

    def _flag(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise self._refusal(value, "is neither true nor false")
        return value

    def _refusal(self, value: object, why: str) -> UsageError:
        return UsageError(f"{self.name} = {quoted(value)} {why}; give {self.accepted()}")

    def accepted(self) -> str:
        """The accepted values in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if isinstance(self.default, bool):
            return "true or false"
        kind = "a whole number" if isinstance(self.default, int) else "a number"
        unit = f" ({self.unit})" if self.unit else ""
        if self.low is None or self.high is None:
            return f"{kind}{unit}" + (f" of at least {self.low:g}" if self.low is not None else "")
        return f"{kind}{unit} from {self.low:g} to {self.high:g}"


def parameter(
    default: Value,
    unit: str,
    meaning: str,
    low: float | None = 0,
    high: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """A dataclass field that carries its Parameter."""
    described = {"unit": unit, "meaning": meaning, "low": low, "high": high, "choices": choices}
    return dataclasses.field(default=default, metadata={"default": default, **described})


def share(default: float, meaning: str) -> Any:
    """A dataclass field for a share between 0 and 1."""
    return parameter(default, "share", meaning, 0, 1)


def parameters_of(declaration: type) -> dict[str, Parameter]:
    """The parameters that a dataclass declares, by name."""
    fields = [field for field in dataclasses.fields(declaration) if field.metadata]
    return {field.name: Parameter(name=field.name, **field.metadata) for field in fields}


def fill(declaration: type[T], values: Mapping[str, object], what: str) -> T:
    """An instance of the declaring dataclass with values in place of defaults.

    what: names the thing in messages, e.g. "workload 'build'". Raises UsageError for an unknown name or a
    bad value.
    """
    declared = parameters_of(declaration)
    unknown = next((name for name in values if name not in declared), None)
    if unknown is not None:
        raise UsageError(f"{what} has no parameter {unknown!r}; {suggest(unknown, declared)}")
    try:
        return declaration(**{name: declared[name].checked(value) for name, value in values.items()})
    except UsageError as refused:
        raise UsageError(f"{what}: {refused}") from None
