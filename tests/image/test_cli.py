"""vmdedup image: what it prints, and its exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vmdedup.cli import run_command
from vmdedup.image import store
from vmdedup.image.build import Note
from vmdedup.image.packages import PackageStore
from vmdedup.image.recipe import Recipe

built: list[str] = []


def fake_build(recipe: Recipe, directory: Path, packages: PackageStore, note: Note) -> None:
    """As build.build, of nothing."""
    built.append(recipe.name)
    for name in ("kernel", "initrd", "ssh_key"):
        (directory / name).write_text(name)
    (directory / "tree").mkdir()


@pytest.fixture(autouse=True)
def nothing_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built.clear()
    monkeypatch.setenv("VMDEDUP_CACHE", str(tmp_path))
    monkeypatch.setattr(store, "build", fake_build)
    monkeypatch.setattr(store, "check_tools", lambda recipe: None)


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert run_command(["image", *arguments, "--json"]) == 0
    text = capsys.readouterr().out
    found: dict[str, Any] = json.loads(text)
    assert found["schema_version"] == 1
    assert text == json.dumps(found, indent=2, sort_keys=True) + "\n"
    return found


def states(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    return {row["name"]: row["state"] for row in document(capsys, "list")["images"]}


def test_build_does_what_is_to_be_done(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert states(capsys) == {"debian": "not built", "tiny": "not built"}
    assert [row["built"] for row in document(capsys, "build", "tiny")["images"]] == [True]
    assert [row["built"] for row in document(capsys, "build", "tiny", "debian")["images"]] == [False, True]
    assert states(capsys) == {"debian": "built", "tiny": "built"}
    assert built == ["tiny", "debian"]
    monkeypatch.setattr("vmdedup.image.recipe.BUILDER", 0)
    assert states(capsys) == {"debian": "out of date", "tiny": "out of date"}
    assert document(capsys, "build", "tiny", "--force")["images"][0]["built"]
    assert document(capsys, "build", "tiny", "--force")["images"][0]["built"]
    assert built == ["tiny", "debian", "tiny", "tiny"]


def test_an_interrupted_build_says_what_is_kept(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(recipe: Recipe, directory: Path, packages: PackageStore, note: Note) -> None:
        if recipe.name == "debian":
            raise KeyboardInterrupt
        fake_build(recipe, directory, packages, note)

    monkeypatch.setattr(store, "build", interrupted)
    assert run_command(["image", "build", "tiny", "debian"]) == 130
    out, err = capsys.readouterr()
    assert out == f"tiny: built: {tmp_path}/images/tiny\n"
    assert err.startswith("vmdedup: interrupted; not done: debian, as it was before; ")
    assert err.endswith(f"is kept in {tmp_path}/packages\n")
    assert err.count("\n") == 1
    assert states(capsys) == {"debian": "not built", "tiny": "built"}


def test_the_path_is_the_path(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run_command(["image", "build", "tiny"])
    capsys.readouterr()
    assert run_command(["image", "path", "tiny"]) == 0
    assert capsys.readouterr().out == f"{tmp_path}/images/tiny\n"
    image = document(capsys, "path", "tiny")["image"]
    assert (image["kernel"], image["disk"], image["memory_mib"]) == (f"{tmp_path}/images/tiny/kernel", None, 128)


def test_verify_names_what_is_wrong(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run_command(["image", "build", "tiny"])
    assert run_command(["image", "verify", "tiny"]) == 0
    (tmp_path / "images" / "tiny" / "kernel").write_text("x")
    capsys.readouterr()
    assert run_command(["image", "verify", "tiny"]) == 1
    assert "'tiny': kernel not as built; run: vmdedup image build tiny --force\n" in capsys.readouterr().err
    assert run_command(["image", "verify", "tiny", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["image"]["wrong"] == ["kernel"]


def test_remove_says_whether_there_was_one(capsys: pytest.CaptureFixture[str]) -> None:
    run_command(["image", "build", "tiny"])
    capsys.readouterr()
    rows = document(capsys, "remove", "tiny", "debian")["images"]
    assert rows == [{"name": "tiny", "removed": True}, {"name": "debian", "removed": False}]
    assert states(capsys)["tiny"] == "not built"


@pytest.mark.parametrize("command", ["build", "path", "verify", "remove"])
def test_no_such_image(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert run_command(["image", command, "../tiny"]) == 2
    assert capsys.readouterr().err == "vmdedup: no image '../tiny'; there are debian, tiny\n"


def test_a_missing_package_is_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("VMDEDUP_CACHE", "/nonexistent")
    monkeypatch.setattr("vmdedup.ours.child.search_path", lambda: "/nonexistent")
    assert run_command(["image", "build", "tiny"]) == 4
    said = capsys.readouterr().err
    assert said.startswith("vmdedup: to build images, Debian packages are missing; run: apt-get install apt cpio ")
    assert said.count("\n") == 1
