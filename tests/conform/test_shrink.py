"""The smallest script that still shows something."""

from __future__ import annotations

from vmdedup.conform.shrink import Lines, Shrinker


def test_what_is_not_needed_goes() -> None:
    lines = tuple(f"read a {page}" for page in range(40))
    wanted = {"read a 7", "read a 31"}
    assert Shrinker(lambda some: wanted <= set(some)).shrink(lines) == ("read a 7", "read a 31")


def test_comments_go_and_steps_become_simpler() -> None:
    lines = ("# why", "vm a 40  # large", "fill a 3..30 seed 1", "pass 7", "counters")

    def shows(some: Lines) -> bool:
        words = [line.split()[0] for line in some]
        return words == ["vm", "fill", "pass"] and ".." in some[1] and int(some[0].split()[2]) >= 5

    assert Shrinker(shows).shrink(lines) == ("vm a 6", "fill a 3..4 seed 1", "pass 1")


def test_it_comes_to_an_end() -> None:
    asked = []
    lines = tuple(f"read a {page}" for page in range(3000))
    Shrinker(lambda some: asked.append(some) or len(some) > 1000).shrink(lines)  # type: ignore[func-returns-value]
    assert len(asked) <= 600
