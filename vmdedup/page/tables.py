"""Tables of a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vmdedup.page.document import escaped


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], marked: Iterable[int] = (), texts: int = 1) -> str:
    """A table; numbers are written as people read them. marked: rows that stand out. texts: columns of text."""
    head = "".join(f'<th scope="col"{_kind(at, texts)}>{escaped(heading)}</th>' for at, heading in enumerate(headings))
    differs = set(marked)
    body = "".join(_row(row, number in differs, texts) for number, row in enumerate(rows))
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>\n'


def _row(row: Sequence[object], is_marked: bool, texts: int) -> str:
    cells = "".join(f"<td{_kind(at, texts)}>{escaped(cell(value))}</td>" for at, value in enumerate(row))
    return f'<tr class="differs">{cells}</tr>\n' if is_marked else f"<tr>{cells}</tr>\n"


def cell(value: object) -> str:
    """A value: whole numbers with separators, others with four figures or so; – if it is not known."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or (value.is_integer() and abs(value) >= 1000):
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.4g}"


def _kind(at: int, texts: int) -> str:
    return ' class="text"' if at < texts else ""
