"""Charts: their points are the data's, their names say what is drawn, and there is none without data."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmdedup.page.charts import MOST_CELLS, MOST_POINTS, Curve, bar_chart, line_chart, matrix_chart
from vmdedup.page.document import escaped, page
from vmdedup.page.tables import cell, table


def svg_of(chart: str) -> ET.Element:
    """The drawing, which is well-formed."""
    return ET.fromstring(f"<all>{chart}</all>")


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(-1e3, 1e9)), min_size=2, max_size=40, unique_by=lambda p: p[0]))
def test_points_are_where_the_data_are(points: list[tuple[float, float]]) -> None:
    points.sort()
    curve = Curve("<a>", [x for x, _ in points], [y for _, y in points])
    drawn = svg_of(line_chart("Title", [curve], "s", "MiB"))
    polyline = drawn.find(".//polyline")
    assert polyline is not None
    places = [tuple(map(float, each.split(","))) for each in polyline.attrib["points"].split()]
    assert len(places) == len(points)
    numbers = [float((text.text or "").replace(",", "")) for text in drawn.iterfind(".//text[@class='ty']")]
    low, high = numbers[0], numbers[-1]
    left, right = points[0][0], points[-1][0]
    for (x, y), (across, down) in zip(points, places, strict=True):
        assert across == pytest.approx((x - left) / (right - left), abs=2e-5)
        assert low + (1 - down) * (high - low) == pytest.approx(y, abs=2e-3 * max(abs(low), abs(high)))
        assert -1e-5 <= down <= 1 + 1e-5


def test_of_many_points_some_are_drawn_and_the_last() -> None:
    curve = Curve("a", list(range(100_000)), [float(x) for x in range(100_000)])
    polyline = svg_of(line_chart("t", [curve], "s", "y")).find(".//polyline")
    assert polyline is not None
    points = polyline.attrib["points"].split()
    assert len(points) <= MOST_POINTS + 1
    assert points[-1].startswith("1.00000,")


def test_names_are_said_and_are_no_tags() -> None:
    for chart in (
        line_chart("<T>", [Curve("<a>", [0, 1], [1, 2])], "s", "MiB"),
        bar_chart("<T>", ("<x>", "y"), {"<a>": [1, 2]}, "MiB"),
        matrix_chart("<T>", ["<a>", "b"], {("<a>", "b"): 3.0}, "MiB"),
    ):
        found = svg_of(chart).find(".//svg[@role='img']")
        assert found is not None
        assert "<T>" in found.attrib["aria-label"]
        assert "<a>" in found.attrib["aria-label"]
        assert not re.findall(r"<[aTx]>", chart)


def test_nothing_is_drawn_of_nothing() -> None:
    assert line_chart("t", [Curve("a", [1], [1])], "s", "y") == ""
    assert bar_chart("t", ("x",), {"a": [0]}, "MiB") == ""
    assert matrix_chart("t", ["a", "b"], {}, "MiB") == ""


def test_bars_are_as_long_as_their_parts() -> None:
    rects = list(svg_of(bar_chart("t", ("x", "y"), {"a": [1, 3], "b": [2, 0]}, "MiB")).iter("rect"))
    widths = [float(rect.attrib["width"]) for rect in rects]
    assert widths == pytest.approx([125, 375, 250, 0])
    assert float(rects[1].attrib["x"]) == pytest.approx(float(rects[0].attrib["x"]) + 125)


def test_a_matrix_of_many_shows_who_shares_most() -> None:
    names = [f"g{number}" for number in range(100)]
    pairs = {(names[0], name): float(number) for number, name in enumerate(names[1:], start=1)}
    drawn = svg_of(matrix_chart("t", names, pairs, "MiB"))
    labels = [text.text for text in drawn.iter("text")]
    assert len(labels) == MOST_CELLS
    assert {"g0", "g99", "g53"} <= set(labels)
    assert "g20" not in labels


def test_a_page_loads_nothing_and_ends_no_data_early() -> None:
    text = page("<t>", "<p>body</p>", data={"x": "</script>&"})
    assert "default-src 'none'" in text
    assert text.count("</script>") == 1
    assert "<title>&lt;t&gt;</title>" in text
    assert escaped("\x1b<") == "\\x1b&lt;"


def test_cells_are_written_as_people_read_them() -> None:
    assert [cell(value) for value in (None, 1234567, 1234.0, 0.12345, 1234.56, "x", True)] == [
        *("–", "1,234,567", "1,234", "0.1235", "1,234.6", "x", "True")
    ]
    assert 'class="differs"' in table(("a", "b"), [("x", 1)], marked=[0])
