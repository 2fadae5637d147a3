"""Tables of figures that fit: where not all columns do, the others follow below, under the same names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.table import Table

from vmdedup.report.console import GAP

Column = tuple[str, Sequence[str]]  # heading, whose words may stand below each other; cells, which stay whole


def fitted(title: str, names: Sequence[str], columns: Sequence[Column], width: int) -> Iterator[Table]:
    """A row a name, a column of figures each; as many tables as it takes so that none is wider than width letters."""
    first = max(map(cell_len, [title, *names]))
    for part in _parts(columns, width - first - GAP):
        table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="cyan")
        table.add_column(title, no_wrap=True)
        for column in part:
            table.add_column(column[0], justify="right", min_width=_narrowest(column))
        for name, *cells in zip(names, *(cells for _, cells in part), strict=True):
            table.add_row(name, *cells)
        yield table


def _parts(columns: Sequence[Column], room: int) -> Iterator[list[Column]]:
    """Columns in their order, as many at a time as there is room for; one at least."""
    part: list[Column] = []
    for column in columns:
        if part and sum(GAP + _narrowest(each) for each in [*part, column]) > room:
            yield part
            part = []
        part.append(column)
    if part:
        yield part


def _narrowest(column: Column) -> int:
    """Letters that a column takes at least."""
    heading, cells = column
    return max(map(cell_len, [*heading.split(), *cells]))
