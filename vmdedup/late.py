"""Things by the place where they are, loaded when they are first asked for: what tables of names are made of.

So a table can list all policies, workloads or backends, and a run loads the one that it uses.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def load(place: str) -> Any:
    """What PACKAGE.MODULE:NAME is."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def call(place: str, *arguments: Any) -> Any:
    """Call what PACKAGE.MODULE:NAME is: what a new process can be told to do by one who has not loaded it."""
    return load(place)(*arguments)
