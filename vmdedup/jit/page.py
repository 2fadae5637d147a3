"""Whole pages: hash, compare, copy. A page is a row of an int64 array of shape (n, words).

Hashing is XXH64 of the xxhash package's own shared object; comparing, copying and clearing are libc's. Compiled code
calls them by symbol, which leaves kernels cacheable (a ctypes object in a kernel would not).
"""

from __future__ import annotations

import ctypes
from typing import Any

import llvmlite.binding
import numpy as np
import xxhash
import xxhash._xxhash as xxhash_object
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from vmdedup.jit.kernel import PYTHON_MODE, kernel

MASK_32 = 0xFFFFFFFF


def _bind() -> None:
    """Give compiled code the address of the xxhash package's XXH64."""
    library = ctypes.CDLL(str(xxhash_object.__file__))
    address = ctypes.cast(library.XXH64, ctypes.c_void_p).value
    llvmlite.binding.add_symbol("vmdedup_XXH64", address)


if not PYTHON_MODE:
    _bind()

_xxh64: Any = types.ExternalFunction("vmdedup_XXH64", types.int64(types.intp, types.intp, types.int64))
_memcmp: Any = types.ExternalFunction("memcmp", types.int32(types.intp, types.intp, types.intp))
_memcpy: Any = types.ExternalFunction("memcpy", types.intp(types.intp, types.intp, types.intp))
_memset: Any = types.ExternalFunction("memset", types.intp(types.intp, types.int32, types.intp))


@intrinsic
def _row_address(typing_context: Any, pages: Any, index: Any) -> Any:
    """Address of row index of a two-dimensional array."""
    signature = types.intp(pages, types.intp)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        view = context.make_array(sig.args[0])(context, builder, args[0])
        zero = context.get_constant(types.intp, 0)
        get_item_pointer: Any = cgutils.get_item_pointer
        where, checked = [args[1], zero], context.enable_boundscheck
        place = get_item_pointer(context, builder, sig.args[0], view, where, wraparound=False, boundscheck=checked)
        return builder.ptrtoint(place, context.get_value_type(types.intp))

    return signature, generate


@intrinsic
def _count_trailing_zeros(typing_context: Any, value: Any) -> Any:
    """Number of trailing zero bits of a word that is not 0."""
    signature = types.int64(types.int64)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.cttz(args[0], context.get_constant(types.boolean, 1))

    return signature, generate


_row: Any = _row_address
_trailing_zeros: Any = _count_trailing_zeros


@kernel
def _compiled_hash_page(pages: Any, i: int) -> int:
    return _xxh64(_row(pages, i), pages.shape[1] * 8, 0)


@kernel
def _compiled_compare_from(pages: Any, i: int, others: Any, j: int, start: int) -> int:
    return _memcmp(_row(pages, i) + start, _row(others, j) + start, pages.shape[1] * 8 - start)


@kernel
def _compiled_copy_page(pages: Any, i: int, others: Any, j: int) -> None:
    _memcpy(_row(pages, i), _row(others, j), pages.shape[1] * 8)


@kernel
def _compiled_clear_page(pages: Any, i: int) -> None:
    _memset(_row(pages, i), 0, pages.shape[1] * 8)


@kernel
def _compiled_first_difference(pages: Any, i: int, others: Any, j: int) -> int:
    words = pages.shape[1]
    for w in range(words):
        difference = pages[i, w] ^ others[j, w]
        if difference != 0:
            return w * 8 + (_trailing_zeros(difference) >> 3)
    return words * 8


def _python_hash_page(pages: Any, i: int) -> int:
    return int(np.uint64(xxhash.xxh64_intdigest(pages[i].tobytes())).astype(np.int64))


def _python_compare_from(pages: Any, i: int, others: Any, j: int, start: int) -> int:
    one, two = pages[i].tobytes()[start:], others[j].tobytes()[start:]
    return (one > two) - (one < two)


def _python_copy_page(pages: Any, i: int, others: Any, j: int) -> None:
    pages[i] = others[j]


def _python_clear_page(pages: Any, i: int) -> None:
    pages[i] = 0


def _python_first_difference(pages: Any, i: int, others: Any, j: int) -> int:
    differing = np.flatnonzero(pages[i].view(np.uint8) != others[j].view(np.uint8))
    return int(differing[0]) if len(differing) else pages.shape[1] * 8


# hash_page(pages, i) -> XXH64 of the page, seed 0, as a signed word.
hash_page: Any = _python_hash_page if PYTHON_MODE else _compiled_hash_page
# compare_from(pages, i, others, j, start) -> sign of memcmp of the two pages from byte start on.
compare_from: Any = _python_compare_from if PYTHON_MODE else _compiled_compare_from
# copy_page(pages, i, others, j): page i becomes page j of the others.
copy_page: Any = _python_copy_page if PYTHON_MODE else _compiled_copy_page
# clear_page(pages, i): page i becomes all zeros.
clear_page: Any = _python_clear_page if PYTHON_MODE else _compiled_clear_page
# first_difference(pages, i, others, j) -> first byte that differs; the page's size if none does.
first_difference: Any = _python_first_difference if PYTHON_MODE else _compiled_first_difference


@kernel
def checksum(pages: Any, i: int) -> int:
    """KSM's page checksum: the low 32 bits of XXH64, seed 0. Source: mm/ksm.c:calc_checksum."""
    return hash_page(pages, i) & MASK_32


@kernel
def hash_rows(pages: Any, hashes: Any) -> None:
    """XXH64 of each of many pages. pages: int64[n, words]; hashes: int64[n], filled."""
    for k in range(len(pages)):
        hashes[k] = hash_page(pages, k)


@kernel
def same_page(pages: Any, i: int, others: Any, j: int) -> bool:
    """Whether two pages hold the same bytes."""
    return compare_from(pages, i, others, j, 0) == 0
