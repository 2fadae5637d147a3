"""Atomic operations on elements of int64 arrays, visible to every process that maps the array.

Sequentially consistent, lock-free. Words are int64 and never negative, so that mask and shift mean the same
compiled and in Python mode. In Python mode these are plain stand-ins: that mode is for one process only.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from vmdedup.jit.kernel import PYTHON_MODE


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    view = context.make_array(array_type)(context, builder, array)
    get_item_pointer: Any = cgutils.get_item_pointer
    checked = context.enable_boundscheck
    return get_item_pointer(context, builder, array_type, view, [index], wraparound=False, boundscheck=checked)


@intrinsic
def _compiled_cas(typing_context: Any, words: Any, index: Any, old: Any, new: Any) -> Any:
    signature = types.boolean(words, types.intp, types.int64, types.int64)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = _pointer(context, builder, sig.args[0], args[0], args[1])
        swapped = builder.cmpxchg(place, args[2], args[3], "seq_cst", "seq_cst")
        return builder.extract_value(swapped, 1)

    return signature, generate


@intrinsic
def _compiled_fetch_add(typing_context: Any, words: Any, index: Any, amount: Any) -> Any:
    signature = types.int64(words, types.intp, types.int64)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = _pointer(context, builder, sig.args[0], args[0], args[1])
        return builder.atomic_rmw("add", place, args[2], "seq_cst")

    return signature, generate


@intrinsic
def _compiled_load(typing_context: Any, words: Any, index: Any) -> Any:
    signature = types.int64(words, types.intp)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = _pointer(context, builder, sig.args[0], args[0], args[1])
        return builder.load_atomic(place, "seq_cst", 8)

    return signature, generate


@intrinsic
def _compiled_store(typing_context: Any, words: Any, index: Any, value: Any) -> Any:
    signature = types.void(words, types.intp, types.int64)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = _pointer(context, builder, sig.args[0], args[0], args[1])
        builder.store_atomic(args[2], place, "seq_cst", 8)
        return context.get_dummy_value()

    return signature, generate


def _python_cas(words: Any, index: int, old: int, new: int) -> bool:
    if words[index] != old:
        return False
    words[index] = new
    return True


def _python_fetch_add(words: Any, index: int, amount: int) -> int:
    before = words[index]
    words[index] = before + amount
    return int(before)


def _python_load(words: Any, index: int) -> int:
    return int(words[index])


def _python_store(words: Any, index: int, value: int) -> None:
    words[index] = value


# cas(words, index, old, new) -> bool: replace old by new, or change nothing and say False.
cas: Any = _python_cas if PYTHON_MODE else _compiled_cas
# fetch_add(words, index, amount) -> the value before.
fetch_add: Any = _python_fetch_add if PYTHON_MODE else _compiled_fetch_add
# load(words, index) -> the value now; never hoisted out of a loop.
load: Any = _python_load if PYTHON_MODE else _compiled_load
# store(words, index, value)
store: Any = _python_store if PYTHON_MODE else _compiled_store
