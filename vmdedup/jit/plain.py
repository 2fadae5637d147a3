"""Kernels run as plain Python, each call of some of them watched: for those who want to see how a decision is made.

A kernel calls others by the names in its module. Here each such module gets a second set of names, in which every
kernel is its own Python function and every intrinsic its stand-in of Python mode. So the very code that is compiled
is what is watched, and the compiled one knows nothing of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from types import FunctionType, ModuleType
from typing import Any, Protocol

_COMPILED, _STAND_IN = "_compiled_", "_python_"
_OURS = "vmdedup."


class Observer(Protocol):
    """Who is told of calls."""

    def called(self, name: str, arguments: tuple[Any, ...]) -> None:
        """A kernel that is watched, by its name, is about to run."""

    def returned(self, name: str, arguments: tuple[Any, ...], result: Any) -> None:
        """It has run."""


class Plain:
    """Makes plain Python of kernels. watched: the kernels of whose calls the observer is told."""

    def __init__(self, observer: Observer, watched: Iterable[Callable[..., Any]]) -> None:
        self._observer = observer
        self._watched = {id(_python(kernel)) for kernel in watched}
        self._names: dict[str, dict[str, Any]] = {}  # of each module, by its own name
        self._made: dict[int, Callable[..., Any]] = {}  # by the Python function that it is made of

    def function(self, kernel: Callable[..., Any]) -> Callable[..., Any]:
        """The kernel as plain Python, and with it all that it calls."""
        python = _python(kernel)
        if id(python) not in self._made:
            names = self._module(python.__globals__)
            # What belongs to its module was made with it; a kernel is entered before the names that it uses are filled.
            if id(python) not in self._made:
                self._made[id(python)] = self._make(python, names)
        return self._made[id(python)]

    def _make(self, python: FunctionType, names: dict[str, Any]) -> Callable[..., Any]:
        plain = FunctionType(python.__code__, names, python.__name__, python.__defaults__, python.__closure__)
        if id(python) not in self._watched:
            return plain
        name, observer = python.__name__, self._observer

        def watched(*arguments: Any) -> Any:
            observer.called(name, arguments)
            result = plain(*arguments)
            observer.returned(name, arguments, result)
            return result

        return watched

    def _module(self, original: dict[str, Any]) -> dict[str, Any]:
        module = original["__name__"]
        if module not in self._names:
            names = self._names[module] = dict(original)
            for name, value in original.items():
                names[name] = self._substitute(value)
        return self._names[module]

    def _substitute(self, value: Any) -> Any:
        """What stands for a value among a module's names."""
        if isinstance(value, ModuleType):
            return _Names(self._module(vars(value))) if value.__name__.startswith(_OURS) else value
        name, module = str(getattr(value, "__name__", "")), str(getattr(value, "__module__", ""))
        if not module.startswith(_OURS) or isinstance(value, type):
            return value
        if name.startswith(_COMPILED) and (stand_in := name.replace(_COMPILED, _STAND_IN)) in vars(sys.modules[module]):
            return getattr(sys.modules[module], stand_in)
        return self.function(value) if isinstance(_python(value), FunctionType) else value


class _Names:
    """A module that is reached by its name, as in rbtree.insert."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.__dict__ = names


def _python(kernel: Any) -> Any:
    """A kernel's Python function; in Python mode that is the kernel itself."""
    return getattr(kernel, "py_func", kernel)
