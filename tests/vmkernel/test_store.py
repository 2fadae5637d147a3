"""Kernels in the cache: which one a version means, what is taken from packages, what is wrong with what is there."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest

from vmdedup.cli import run_command
from vmdedup.errors import UsageError
from vmdedup.image.packages import PackageStore
from vmdedup.vmkernel import store
from vmdedup.vmkernel.suites import Suites

NAMES = [
    "linux-image-6.18.9+deb13-cloud-amd64",
    "linux-image-6.18.15+deb13-cloud-amd64",
    "linux-image-6.18.15+deb13-amd64",
    "linux-image-6.1.0-50-cloud-amd64",
    "linux-image-6.1-cloud-amd64",  # of no release
    "linux-image-6.12.117+deb13-cloud-amd64-unsigned",
    "linux-image-7.2.13+deb14-cloud-amd64",
    "linux-binary-7.2.13+deb14-cloud-amd64",
    "linux-modules-7.2.13+deb14-cloud-amd64",
]


def module(name: str, depends: str = "") -> bytes:
    return b"\x7fELF\0license=GPL\0depends=" + depends.encode() + b"\0name=" + name.encode() + b"\0"


def unpack(self: PackageStore, package: str, directory: Path) -> None:
    """What the packages of NAMES would hold."""
    release = package.split("-", 2)[2]
    modules = directory / "usr/lib/modules" / release / "kernel/drivers"
    modules.mkdir(parents=True, exist_ok=True)
    if package.startswith("linux-modules-"):
        (modules / "virtio_blk.ko.xz").write_bytes(lzma.compress(module("virtio_blk", "virtio-ring,virtio")))
        (modules / "virtio-ring.ko").write_bytes(module("virtio_ring", "virtio"))
        (modules / "virtio.ko").write_bytes(module("virtio"))
        (modules / "other.ko").write_bytes(module("other"))
    elif package.startswith("linux-binary-"):
        (directory / "usr/lib/modules" / release / "vmlinuz").write_bytes(release.encode())
    else:
        (directory / "boot").mkdir()
        (directory / "boot" / f"vmlinuz-{release}").write_bytes(release.encode())


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and packages that are made up."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(Suites, "update", lambda self: ["sid (gone)"])
    monkeypatch.setattr(Suites, "names", lambda self: NAMES)
    monkeypatch.setattr(PackageStore, "unpack", unpack)
    return tmp_path / "vmdedup" / "linux"


def fetched(*versions: str) -> list[str]:
    return [kernel.release for _, kernel, _ in store.fetch(list(versions))]


def test_the_newest_release_of_a_version_is_fetched(cached: Path) -> None:
    assert fetched("6.18", "6.1", "7.2") == [
        "6.18.15+deb13-cloud-amd64",
        "6.1.0-50-cloud-amd64",
        "7.2.13+deb14-cloud-amd64",
    ]
    assert store.kernel("6.18").image.read_text() == "6.18.15+deb13-cloud-amd64"
    assert fetched("6.18.9") == ["6.18.9+deb13-cloud-amd64"]
    assert store.kernel("6.18.9").version == "6.18"
    assert [kernel.version for kernel in store.kernels()] == ["6.1", "6.18", "6.18", "7.2"]
    assert not list(cached.glob(".new-*"))


def test_modules_come_after_what_they_depend_on(cached: Path) -> None:
    fetched("7.2")
    modules = store.kernel("7.2").modules
    assert [path.name for path in modules] == ["virtio.ko", "virtio_ring.ko", "virtio_blk.ko"]
    assert modules[-1].read_bytes() == module("virtio_blk", "virtio-ring,virtio")


def test_a_version_that_debian_does_not_have(cached: Path) -> None:
    with pytest.raises(UsageError, match=r"no Linux 6\.2 now \(without sid \(gone\)\); it has 6\.1, 6\.18, 7\.2"):
        fetched("6.2")
    with pytest.raises(UsageError, match="is no version"):
        fetched("six")


def test_what_is_not_what_was_fetched(cached: Path) -> None:
    with pytest.raises(UsageError, match=r"run: vmdedup kernel fetch 7\.2"):
        store.kernel("7.2")
    fetched("7.2")
    store.kernel("7.2").image.write_bytes(b"another")
    with pytest.raises(UsageError, match=r"run: vmdedup kernel fetch --again 7\.2"):
        store.kernel("7.2")
    assert [kernel.release for _, kernel, _ in store.fetch(["7.2"], again=True)] == ["7.2.13+deb14-cloud-amd64"]
    assert store.kernel("7.2").image.read_text() == "7.2.13+deb14-cloud-amd64"


def test_a_kernel_of_ones_own(cached: Path, tmp_path: Path) -> None:
    image = tmp_path / "bzImage"
    image.write_bytes(b"mine")
    assert store.kernel(str(image)).image == image
    with pytest.raises(UsageError, match="there is no such kernel"):
        store.kernel(str(tmp_path / "none"))


def test_the_list(cached: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["kernel", "list"]) == 0
    assert "no kernel has been fetched" in capsys.readouterr().err
    assert run_command(["kernel", "fetch", "7.2"]) == 0
    assert "no list of packages of sid (gone)" in capsys.readouterr().err
    assert run_command(["kernel", "list", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["kernels"]
    assert (row["version"], row["release"], len(row["sha256"])) == ("7.2", "7.2.13+deb14-cloud-amd64", 64)
    assert run_command(["kernel", "list"]) == 0
    assert row["sha256"] in capsys.readouterr().out
