"""How fast every policy scans beside our ksmd, on the same bytes in the same run, and what the slower ones spend it on.

    python -m benchmarks.policies --quick
    python -m benchmarks.policies --policy esx,uksm --content noise --json
    python -m benchmarks.policies --docs

Pages a second of CPU time, each policy with its defaults but without rate limits and smart scan, so that each of them
looks at every page. Policy and `ksm` take turns, in pairs; a ratio is the median over the pairs. Phases are passes over
all memory: the first; seven in which most is shared or packed; five after which little changes. Pages are counted as
the policy itself counts them: `ideal` looks at everything in each scan, `esx` at random pages, so that a pass is as
many as there are; `none` scans nothing; controllers are ksmd at the speed that they give it, not slowed down here.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.costs import shares
from benchmarks.images import IMAGES, Image
from benchmarks.operations import operations
from benchmarks.reading import reading
from benchmarks.scanning import KSM, PHASES, ROWS, Rates, Row, rates
from benchmarks.speed_page import page, worst

DOCUMENT = Path(__file__).parent.parent / "docs" / "speed.md"
SLOWER = 0.97  # a ratio below it is told where the time goes; above it, it is noise


def pairs(image: Image, row: Row, rounds: int, batch: int) -> dict[str, Any]:
    """Medians over rounds in which the policy and ksm take turns."""
    ours: list[Rates] = []
    ksm: list[Rates] = []
    for turn in range(rounds):
        for one in (row, KSM) if turn % 2 else (KSM, row):
            (ksm if one is KSM else ours).append(rates(image, one, batch))
    return {
        "pages_per_second": {phase: statistics.median(found[phase] for found in ours) for phase in PHASES},
        "ksm": {phase: statistics.median(found[phase] for found in ksm) for phase in PHASES},
        "ratio": {
            phase: statistics.median(a[phase] / b[phase] for a, b in zip(ours, ksm, strict=True)) for phase in PHASES
        },
    }


def measure(rows: list[Row], contents: list[str], pages: int, rounds: int, batch: int) -> dict[str, Any]:
    """All policies on all contents."""
    results: dict[str, Any] = {}
    for content in contents:
        image = IMAGES[content](pages)
        for row in rows:
            _say(f"{content}: {row.label}")
            result = pairs(image, row, rounds, batch)
            if 0 < worst(result) < SLOWER:
                result["shares"] = shares(image, row, batch)
            results.setdefault(row.label, {})[content] = result
    return results


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(text, file=sys.stderr)


def _warm_up(rows: list[Row]) -> None:
    """Have every kernel compiled, or loaded from the cache."""
    image = IMAGES["guests"](4096)
    for row in (KSM, *rows):
        rates(image, row, 100)


def _chosen(names: str) -> list[Row]:
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = set(wanted) - {row.policy for row in ROWS}
    if unknown:
        raise SystemExit(f"there is no policy {', '.join(sorted(unknown))}; see `vmdedup policy list`")
    return [row for row in ROWS if not wanted or row.policy in wanted]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.policies",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--policy", default="", help="only these, with commas between them")
    parser.add_argument("--content", choices=sorted(IMAGES), action="append", help="only this; may be repeated")
    parser.add_argument("--pages", type=int, default=32768, help="of each content (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="pairs of each (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=5000, help="pages of one scan() (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="8192 pages, one round")
    parser.add_argument("--json", action="store_true", help="print one document")
    parser.add_argument("--docs", action="store_true", help=f"write {DOCUMENT.name}")
    options = parser.parse_args()
    if options.quick:
        options.pages, options.rounds = 8192, 1
    return options


def main() -> None:
    """Read the command line, measure, print or write."""
    options = _options()
    rows = _chosen(options.policy)
    _warm_up(rows)
    results = measure(rows, options.content or list(IMAGES), options.pages, options.rounds, options.batch)
    document = {
        "schema_version": 1,
        "pages": options.pages,
        "rounds": options.rounds,
        "batch": options.batch,
        "policies": results,
        "reading_us": reading(options.pages),
        "operations_us": operations() if not options.policy or "difference_engine" in options.policy else {},
    }
    if options.json:
        print(json.dumps(document, sort_keys=True))
    elif options.docs:
        DOCUMENT.write_text(page(document, sys.argv[1:]))
        print(f"{DOCUMENT} is written", file=sys.stderr)
    else:
        print(page(document, sys.argv[1:]))


if __name__ == "__main__":
    main()
