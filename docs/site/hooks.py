"""What makes the files of docs/ a site: README.md is its first page, and links to files outside docs/ are plain text.

Called by mkdocs (mkdocs.yml). In the repository all links work as they stand.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parent.parent.parent
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)")
_FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def on_config(config: Any) -> Any:
    """Pages that mkdocs.yml gives no place stand at the end, so that none is left out."""
    listed = set(re.findall(r"[\w-]+\.md", repr(config.nav)))
    missing = sorted(path.name for path in (ROOT / "docs").glob("*.md") if path.name not in listed)
    if missing:
        config.nav.append({"More": missing})
    return config


def on_files(files: Any, config: Any) -> Any:
    """README.md as the first page."""
    text = (ROOT / "README.md").read_text().replace("](docs/", "](")
    files.append(File.generated(config, "index.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """A link to what the site has not is its text."""
    here = Path(page.file.src_uri).parent

    def plain(found: re.Match[str]) -> str:
        text, target = found[1], found[2]
        if re.match(r"\w+:|#", target):
            return found[0]
        if target.endswith("../README.md"):
            return f"[{text}]({target.replace('../README.md', 'index.md')})"
        path = target.partition("#")[0]
        known = not path.startswith("..") and (ROOT / "docs" / here / path).is_file()
        return found[0] if known or path == "index.md" else text

    parts = _FENCE.split(markdown)
    return "".join(part if part.startswith("```") else _LINK.sub(plain, part) for part in parts)
