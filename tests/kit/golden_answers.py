"""Recorded scripts, and where the answers of kernels lie: (answers, script, version), as tests are given them."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent.parent / "golden"
GOLDEN = sorted(FOLDER.glob("*.ksm"))
KERNELS = ("5.10", "6.1", "6.12", "6.18", "7.2", "7.3")
# Scripts with what a kernel printed: in kernels/ where that is not what 6.18 printed; versions/ has the smallest script
# for each difference; numa/ was recorded on kernels with two nodes.
RECORDED = [
    *((path, path.with_suffix(".ksm").name, path.parent.name) for path in sorted(FOLDER.glob("kernels/*/*.jsonl"))),
    *((path, f"versions/{path.stem}.ksm", path.parent.name) for path in sorted(FOLDER.glob("versions/*/*.jsonl"))),
    *((path, f"numa/{path.stem}.ksm", path.parent.name) for path in sorted(FOLDER.glob("numa/*/*.jsonl"))),
]
# Scripts with huge pages. One more, of folios of other sizes, has no place here.
HUGE = [(path, f"huge/{path.stem}.ksm", path.parent.name) for path in sorted(FOLDER.glob("huge/*/*.jsonl"))]
RECORDED += HUGE
