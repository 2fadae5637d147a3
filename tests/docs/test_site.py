"""The documentation as a site: built without a warning, every page in it, no link that leads nowhere."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.skipif(find_spec("material") is None, reason="mkdocs-material is not installed")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The site, and what was said."""
    site = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return site, done.stderr


def test_it_builds_without_a_warning(built: tuple[Path, str]) -> None:
    _, said = built
    assert "WARNING" not in said
    assert "ERROR" not in said


def test_every_page_is_there_and_the_readme_is_the_first(built: tuple[Path, str]) -> None:
    site, _ = built
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert pages <= {path.stem for path in site.glob("*.html")}
    first = (site / "index.html").read_text()
    assert "What would memory deduplication do to my host" in first
    assert all(f'href="{page}.html' in first for page in pages)


def test_a_broken_link_would_be_noticed(tmp_path: Path) -> None:
    """Of a page that is there, in a page that is not: the same settings, on two small pages."""
    settings = (ROOT / "mkdocs.yml").read_text()
    validation = settings[settings.index("validation:") : settings.index("nav:")]
    (tmp_path / "docs").mkdir()
    (tmp_path / "mkdocs.yml").write_text(f"site_name: small\nstrict: true\n{validation}")
    for text, is_good in (("[b](b.md#here)", True), ("[b](b.md#nowhere)", False), ("[c](c.md)", False)):
        (tmp_path / "docs/index.md").write_text(text)
        (tmp_path / "docs/b.md").write_text("# b\n\n## here\n")
        command = [sys.executable, "-m", "mkdocs", "build"]
        assert (subprocess.run(command, cwd=tmp_path, capture_output=True).returncode == 0) == is_good, text
