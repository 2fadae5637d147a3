"""Fixtures that make things, and close them when a test is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

import pytest


class Closable(Protocol):
    """What holds something until it is closed."""

    def close(self) -> None:
        """Let go of it."""


T = TypeVar("T", bound=Closable)


def maker_of(kind: Callable[..., T]) -> Any:
    """A fixture: a function that makes such things with what it is given, as many as a test wants."""

    @pytest.fixture
    def make() -> Iterator[Callable[..., T]]:
        made: list[T] = []

        def build(*arguments: Any, **named: Any) -> T:
            made.append(kind(*arguments, **named))
            return made[-1]

        yield build
        for each in made:
            each.close()

    return make


def one_of(kind: Callable[[], T]) -> Any:
    """A fixture: one such thing."""

    @pytest.fixture
    def one() -> Iterator[T]:
        made = kind()
        yield made
        made.close()

    return one
