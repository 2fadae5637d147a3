"""Each technique of Difference Engine alone, on pages of one kind. OSDI 2008, section 5.3, figures 5 to 7."""

from __future__ import annotations

from typing import Final

from vmdedup.papers.bench.base import PAPER, Bench, Curve, Experiment, Finding
from vmdedup.papers.bench.runs import PAGES_PER_MIB, Data, column, generated, scenario
from vmdedup.papers.bench.verdict import Row
from vmdedup.result.published import Published

MIB: Final = 16
BITS: Final = 14  # of signatures: as many pages to each as the paper's 18 have in a guest of 256 MiB
BASE_BYTES: Final = 16  # the identical page: so many bytes again and again
RUN_BYTES: Final = 4  # similar pages differ from their base in words
_NOTE: Final = (
    "What the paper's pages hold is not said beyond their kind. Its identical pages compress like zeros, so ours "
    "repeat 16 bytes. Two pages are compared only if they agree in a whole block of 64 bytes: with 5 % of single bytes "
    "changed two pages do so at one place with a probability of 0.95^128, 0.14 %, with 5 % of words of 4 bytes with "
    "0.95^32, 19 %; so ours differ in words. The last row is with single bytes."
)
KINDS: Final = ("identical", "random", "similar")
TECHNIQUES: Final = ("sharing", "patching", "compression")


def isolation(bench: Bench, published: Published) -> Finding:
    """Nine runs, and one of pages that differ in single bytes; saved when pages have been allocated and have rested."""
    curves = {(kind, technique): _saved(bench, kind, technique) for kind in KINDS for technique in TECHNIQUES}
    ours = {both: curve.y[-1] for both, curve in curves.items()}
    rows, papers = [], []
    for (kind, technique), value in ours.items():
        paper = published.levels[f"{kind}_{technique}_percent"]
        rows.append(Row(f"{kind} pages: {technique}", "%", paper, value, *_claim(kind, technique, ours)))
        papers.append(Curve(technique, (), [paper.value], f"{kind} pages", PAPER))
    single = _saved(bench, "similar", "patching", run_bytes=1).y[-1]
    rows.append(Row("similar pages, by single bytes: patching", "%", None, single))
    return Finding(rows, _NOTE, ("time, s", "saved, % of memory"), [*curves.values(), *papers])


def _claim(kind: str, technique: str, ours: dict[tuple[str, str], float]) -> tuple[str, bool]:
    """What the paper's figure says of a technique on pages of a kind, and whether ours does."""
    if kind == "identical":
        return "saves most of the pages", ours[kind, technique] > 50
    if kind == "random":
        return "saves less than a quarter", ours[kind, technique] < 25
    share, patch, compress = (ours[kind, name] for name in TECHNIQUES)
    return "patching saves the most", patch > max(share, compress)


def _saved(bench: Bench, kind: str, technique: str, run_bytes: int = RUN_BYTES) -> Curve:
    """Saved memory over time, per cent of all memory of the one guest."""
    switches = {name: int(name == technique) for name in TECHNIQUES}
    policy = {"name": "difference_engine", "tunables": switches | {"detector_bits": BITS}}
    result = bench.run(scenario(f"{kind}-{technique}", 60 if bench.quick else 75, policy, [_guest(kind, run_bytes)]))
    pages = MIB * PAGES_PER_MIB
    saved = [100 * value / pages for value in column(result, "saved_pages")]
    return Curve(technique, column(result, "time_s"), saved, f"{kind} pages")


def _guest(kind: str, run_bytes: int) -> Data:
    content = {"identical": {"base_bytes": BASE_BYTES}, "similar": {"run_bytes": run_bytes}}
    return {
        "memory": f"{MIB}MiB",
        "workload": "phases",
        "parameters": {"kind": kind, "fill_share": 0.75, "pause_s": 300.0, **content.get(kind, {})},
        "disk": generated(24),
        "kernel_mib": 2,
    }


EXPERIMENTS = (
    Experiment(
        "de-isolation",
        "Difference Engine: each technique alone",
        "difference_engine_isolation",
        "One guest of 16 MiB that fills 75 % of its memory with pages of one kind and leaves them alone, as the "
        "paper's of 256 MiB does with 192; similar pages have 95 % of their words from one base. It is the same "
        "generator in small, up to the end of its first phase, before pages are read.",
        isolation,
    ),
)
