"""The store of images: complete or not there; built when the recipe changed; without a trace when a build dies."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.kernel_files import bzimage, elf
from vmdedup.errors import EnvironmentLacksError, UsageError
from vmdedup.guest.diskspec import DiskSpec, open_disk
from vmdedup.image import store
from vmdedup.image.build import Note
from vmdedup.image.packages import PackageStore
from vmdedup.image.recipe import Recipe, load_recipe
from vmdedup.image.site import Site
from vmdedup.image.tools import require_tools, run_tool

PATIENCE = 20.0


def fake_build(recipe: Recipe, directory: Path, packages: PackageStore, note: Note) -> None:
    """As build.build, of nothing."""
    for name in ("kernel", "initrd", "ssh_key"):
        (directory / name).write_text(f"{name} of {recipe.digest}")
    (directory / "tree").mkdir()
    (directory / "tree" / "file").write_text("content")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("VMDEDUP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(store, "build", fake_build)
    monkeypatch.setattr(store, "check_tools", lambda recipe: None)
    return Site.of_user()


def names(site: Site) -> list[str]:
    return sorted(path.name for path in site.images.iterdir() if not path.name.endswith(".lock"))


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_an_image_is_built_once(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    first = store.require("tiny", site=site)
    assert first.directory == site.images / "tiny"
    assert first.kernel.read_text() == f"kernel of {first.digest}"
    assert (first.disk, first.ready, first.tree.name) == (None, "VMDEDUP-READY", "tree")
    assert first.command_line("web", "a=1") == f"{first.cmdline} vmdedup.name=web a=1"
    monkeypatch.setattr(store, "build", None)
    assert store.require("tiny", site=site) == first
    assert names(site) == ["tiny"]
    assert first.directory.stat().st_mode & 0o777 == 0o755


def test_it_says_what_it_is(site: Site) -> None:
    image = store.require("tiny", site=site)
    about = json.loads((image.directory / "image.json").read_text())
    assert {"name", "digest", "kernel", "initrd", "disk", "ssh_key", "cmdline", "ready", "memory_mib"} <= set(about)
    assert set(about["sha256"]) == {"kernel", "initrd", "ssh_key"}
    assert store.verify(image) == []
    image.kernel.write_text("another")
    image.initrd.unlink()
    assert store.verify(image) == ["initrd", "kernel"]


def test_a_changed_recipe_builds_anew(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    old = store.require("tiny", site=site)
    monkeypatch.setattr("vmdedup.image.recipe.BUILDER", -1)
    assert store.built("tiny", site=site) == old
    new = store.require("tiny", site=site)
    assert new.digest != old.digest
    assert new.kernel.read_text() == f"kernel of {new.digest}"
    assert names(site) == ["tiny"]


def test_force_builds_what_is_up_to_date(site: Site) -> None:
    image = store.require("tiny", site=site)
    image.kernel.write_text("damaged")
    recipe = load_recipe("tiny")
    store.make(recipe, site)
    assert image.kernel.read_text() == "damaged"
    store.make(recipe, site, force=True)
    assert store.verify(image) == []


def test_what_is_not_built_names_the_command(site: Site) -> None:
    for ask in (lambda: store.built("tiny"), lambda: open_disk(DiskSpec(image="tiny"))):
        with pytest.raises(UsageError, match=r"image 'tiny' is not built; run: vmdedup image build tiny$"):
            ask()


def test_the_tree_is_a_disk(site: Site) -> None:
    image = store.require("tiny", site=site)
    with pytest.raises(UsageError, match="is no bzImage of x86-64"):
        open_disk(DiskSpec(image="tiny"))
    image.kernel.write_bytes(bzimage(elf(), "gzip"))
    disk = open_disk(DiskSpec(image="tiny"))
    assert disk.booted is not None, "all files of an image without a disk lie in memory"
    assert disk.booted.tolist() == [0]
    assert [disk.index.path(file) for file in range(disk.index.files)] == ["file"]
    assert str(DiskSpec(image="tiny")) == "image tiny"
    for path, kind in (("/tmp", "auto"), ("/usr", "tree")):
        with pytest.raises(UsageError, match="takes no path and no kind"):
            DiskSpec(path, kind, image="tiny")


def test_an_image_is_removed_once(site: Site) -> None:
    store.require("tiny", site=site)
    assert store.remove("tiny", site)
    assert not store.remove("tiny", site)
    assert names(site) == []


def test_a_failed_build_leaves_the_image_that_was_there(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    old = store.require("tiny", site=site)

    def full(recipe: Recipe, directory: Path, packages: PackageStore, note: Note) -> None:
        fake_build(recipe, directory, packages, note)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(store, "build", full)
    with pytest.raises(EnvironmentLacksError, match=r"'tiny': No space left on device; free some room in .*/cache, or"):
        store.make(load_recipe("tiny"), site, force=True)
    assert names(site) == ["tiny"]
    assert store.verify(old) == []


SLOW_BUILD = """
import sys
from pathlib import Path
from vmdedup.image import store
from vmdedup.image.recipe import load_recipe
from vmdedup.image.site import Site
from vmdedup.image.tools import run_tool

def build(recipe, directory, packages, note):
    (directory / "kernel").write_text("half of it")
    run_tool(["unshare", "sleep", "1000"])

store.build, store.check_tools = build, lambda recipe: None
store.make(load_recipe("tiny"), Site(Path(sys.argv[1])))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_build_that_is_killed_leaves_nothing(site: Site, number: int) -> None:
    command = [sys.executable, "-c", SLOW_BUILD, str(site.directory)]
    with subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL) as process:
        wait_until(
            lambda: (site.images / ".tiny.building" / "kernel").exists() and bool(children(process.pid, "sleep"))
        )
        sleeping = children(process.pid, "sleep")
        process.send_signal(number)
        assert process.wait(PATIENCE)
    wait_until(lambda: names(site) == [])
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in sleeping))
    assert store.require("tiny", site=site).kernel.read_text() != "half of it"


def children(parent: int, name: str) -> list[int]:
    """Processes of that name below another."""
    text = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [int(pid) for pid in text.split() if Path(f"/proc/{pid}/comm").read_text().strip() == name]


def test_two_builds_take_turns(site: Site) -> None:
    told: list[str] = []
    command = [sys.executable, "-c", SLOW_BUILD, str(site.directory)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: (site.images / ".tiny.building" / "kernel").exists())

        def note(text: str) -> None:
            told.append(text)
            process.kill()

        assert store.require("tiny", site=site, note=note).kernel.read_text() != "half of it"
    assert told == ["waiting for another build of tiny"]


def test_missing_programs_are_named_by_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vmdedup.ours.child.search_path", lambda: "/nonexistent")
    with pytest.raises(EnvironmentLacksError, match=r"run: apt-get install cpio kmod mmdebstrap$"):
        require_tools(["mmdebstrap", "depmod", "modprobe", "cpio"])


def test_a_program_that_fails_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentLacksError, match=r"^ls failed with exit status \d: .*cannot access.*[^\n]$"):
        run_tool(["ls", tmp_path / "nothing"])
    with pytest.raises(OSError, match="No space left"):
        run_tool(["unshare", "sh", "-c", "echo tar: x: No space left on device >&2; exit 2"])


def test_where_images_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VMDEDUP_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert Site.of_user().images == Path("/var/cache/vmdedup/images")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert Site.of_user().images == Path("/somewhere/vmdedup/images")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert Site.of_user().images == Path.home() / ".cache/vmdedup/images"
    monkeypatch.setenv("VMDEDUP_CACHE", "/mine")
    assert Site.of_user().images == Path("/mine/images")
