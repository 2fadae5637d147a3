"""What compiled code is made of: the kernel decorator, atomics, page comparison, hashes, red-black rebalancing.

A *kernel* is a function compiled by Numba. Every kernel of the project is made by the one decorator below, so that
compile options stand in one place: no GIL while it runs, compiled code cached on disk, and bounds checked when
NUMBA_BOUNDSCHECK=1 asks for it. With NUMBA_DISABLE_JIT=1 the same functions run as plain Python.

The cache folder is named by a hash of every source file that holds kernels, because Numba does not notice that a
callee in another file has changed; bounds-checked code has a folder of its own, because a cached kernel would
otherwise silently run without the checks.
"""

from __future__ import annotations

from vmdedup.jit.kernel import PYTHON_MODE, kernel

__all__ = ["PYTHON_MODE", "kernel"]
