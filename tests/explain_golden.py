"""Explain every golden script, and compare each state with the oracle's, node by node; takes minutes.

python tests/explain_golden.py
"""

from __future__ import annotations

from pathlib import Path

from kit.explained import VERSIONS, compare
from vmdedup.replay.script import parse

GOLDEN = Path(__file__).parent / "golden"


def main() -> None:
    """A line for each script; the first that differs ends it."""
    for path in sorted(GOLDEN.rglob("*.ksm")):
        for kernel in (None, *VERSIONS.get(path.parent.name, ())):
            nodes = compare(parse(path), kernel)
            print(f"{path.relative_to(GOLDEN)}{f' as {kernel}' if kernel else ''}: {nodes} nodes", flush=True)


if __name__ == "__main__":
    main()
