"""Published figures as a column of the comparison; result/published.py says how their files look."""

from __future__ import annotations

from pathlib import Path

from vmdedup.errors import UsageError
from vmdedup.report.compare.figures import Figures
from vmdedup.result.published import MOST_BYTES, published_of
from vmdedup.toml import read_toml


def published_figures(path: Path) -> Figures:
    """The figures in a file. UsageError: it is no such file, or has no figure, with what is wrong."""
    try:
        document = read_toml(path, UsageError, MOST_BYTES)
    except UsageError as error:
        raise UsageError(f"{path} is neither a results directory nor published figures in TOML: {error}") from None
    published = published_of(document, path)
    if not published.levels and not published.rows:
        raise UsageError(f"{path}: there are neither [levels] nor [[series]]; add what is known")
    last = {name: value for name, value in published.rows[-1].items() if name != "time_s"} if published.rows else {}
    return Figures(
        label=published.label,
        backend="published",
        rows=published.rows,
        levels=last | {name: level.value for name, level in published.levels.items()},
        page_size=published.page_size,
        source=published.source,
        certainty=published.certainty,
    )
