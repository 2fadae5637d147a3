"""A whole HTML page as one text. Nothing is loaded, and its own rules forbid it."""

from __future__ import annotations

import html
import json
from importlib.resources import files
from typing import Any

from vmdedup.outputs import MARK
from vmdedup.shown import shown

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def escaped(text: object) -> str:
    """Text of anybody's as it stands in a page: nothing in it is a tag, and what cannot be printed is spelled out."""
    return html.escape(shown(text))


def page(title: str, body: str, style: str = "", script: str = "", data: Any = None) -> str:
    """An HTML document. style, script: more than all pages have. data: what the script finds as `DATA`."""
    embedded = f'<script type="application/json" id="data">{_json(data)}</script>\n' if data is not None else ""
    running = f"<script>\n{script}</script>\n" if script else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<!-- {MARK} -->
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{escaped(title)}</title>
<style>
{asset("vmdedup.page", "style.css")}{style}</style>
</head>
<body>
{body}
{embedded}{running}</body>
</html>
"""


def asset(package: str, name: str) -> str:
    """The text of a file that lies beside a package's modules."""
    return files(package).joinpath(name).read_text(encoding="utf-8")


def _json(data: Any) -> str:
    """JSON that no tag can end early."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
