"""Asking the processor for memory that will be needed soon. Nothing waits for it, and nothing is decided by it.

Source: LLVM's language reference, llvm.prefetch.
"""

from __future__ import annotations

from typing import Any

import llvmlite.ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from vmdedup.jit.kernel import PYTHON_MODE

TO_READ, ALL_CACHES, DATA = 0, 3, 1  # llvm.prefetch's arguments


def _compiled_fetch(context: Any, builder: Any, array_type: Any, array: Any, indices: Any) -> Any:
    view = context.make_array(array_type)(context, builder, array)
    get_item_pointer: Any = cgutils.get_item_pointer
    checked = context.enable_boundscheck
    place = get_item_pointer(context, builder, array_type, view, indices, wraparound=False, boundscheck=checked)
    word = llvmlite.ir.IntType(32)
    address = builder.bitcast(place, llvmlite.ir.IntType(8).as_pointer())
    arguments = [address.type, word, word, word]
    function_type = llvmlite.ir.FunctionType(llvmlite.ir.VoidType(), arguments)
    get_or_insert_function: Any = cgutils.get_or_insert_function
    function = get_or_insert_function(builder.module, function_type, "llvm.prefetch.p0")
    builder.call(function, [address, word(TO_READ), word(ALL_CACHES), word(DATA)])
    return context.get_dummy_value()


@intrinsic
def _compiled_prefetch(typing_context: Any, array: Any, index: Any) -> Any:
    signature = types.void(array, types.intp)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _compiled_fetch(context, builder, sig.args[0], args[0], [args[1]])

    return signature, generate


@intrinsic
def _compiled_prefetch_word(typing_context: Any, pages: Any, row: Any, word: Any) -> Any:
    signature = types.void(pages, types.intp, types.intp)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _compiled_fetch(context, builder, sig.args[0], args[0], [args[1], args[2]])

    return signature, generate


def _python_prefetch(array: Any, index: int) -> None:
    return


def _python_prefetch_word(pages: Any, row: int, word: int) -> None:
    return


# prefetch(array, index): an element of an array of one dimension.
prefetch: Any = _python_prefetch if PYTHON_MODE else _compiled_prefetch
# prefetch_word(pages, row, word): a word of a page.
prefetch_word: Any = _python_prefetch_word if PYTHON_MODE else _compiled_prefetch_word
