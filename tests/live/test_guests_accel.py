"""The probe of KVM, with programs that behave like a QEMU on which it works, hangs, or fails."""

import os
from pathlib import Path

import pytest

from vmdedup.errors import EnvironmentLacksError
from vmdedup.image.store import Image
from vmdedup.live.guests import accel
from vmdedup.live.guests.accel import Probe, choose, probe

# Boot sectors end with status 171; a kernel (-kernel) writes to the file behind -serial file:.
WORKS = "console=; for w; do case $w in file:*.console|file:*/console) console=${w#file:};; esac; done\n"
SAYS = WORKS + 'if [ -n "$console" ]; then echo "%s" > "$console"; exec sleep 30; fi\nexit 171\n'


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """An image whose kernel nobody boots."""
    return Image(
        name="none",
        directory=tmp_path,
        kernel=tmp_path / "kernel",
        initrd=tmp_path / "initrd",
        disk=None,
        ssh_key=None,
        cmdline="",
        ready="",
        memory_mib=128,
        tree=tmp_path,
        name_argument="",
        digest="d",
    )


@pytest.fixture(autouse=True)
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in the place of /dev/kvm, and short limits."""
    path = tmp_path / "kvm"
    path.touch()
    monkeypatch.setattr(accel, "DEVICE", path)
    monkeypatch.setattr(accel, "SECTOR_LIMIT", 0.5)
    monkeypatch.setattr(accel, "KERNEL_LIMIT", 0.5)
    return path


def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a program in the place of QEMU."""
    program = tmp_path / "bin" / accel.EMULATOR
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def test_it_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: Image) -> None:
    install(tmp_path, monkeypatch, SAYS % "Linux version 6.1")
    assert probe(image, tmp_path / "cache").works
    assert choose("auto", [image]) == "kvm"
    assert choose("kvm", [image]) == "kvm"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exec sleep 30", "a boot sector under KVM does not run within 0.5 s"),
        ("echo broken >&2; exit 1", "a boot sector under KVM ends with status 1: broken"),
        (SAYS % "Probing EDD... ok", "the kernel of image none does not come up under KVM within 0.5 s"),
    ],
)
def test_it_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: Image, script: str, words: str) -> None:
    install(tmp_path, monkeypatch, script)
    found = probe(image, tmp_path / "cache")
    assert not found.works
    assert words in found.reason


def test_no_device(device: Path, tmp_path: Path) -> None:
    device.unlink()
    found = probe(None, tmp_path / "cache")
    assert (found.works, "is missing" in found.reason) == (False, True)


def test_no_qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "apt install qemu-system-x86" in probe(None, tmp_path / "cache").reason


def test_the_answer_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: Image) -> None:
    install(tmp_path, monkeypatch, f"echo x >> {tmp_path}/calls; exit 171")
    cache = tmp_path / "cache"
    assert [probe(None, cache).works for _ in range(3)] == [True] * 3
    assert (tmp_path / "calls").read_text() == "x\n"
    assert not probe(image, cache).works  # another question


def test_an_answer_that_cannot_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "exit 171")
    (tmp_path / "file").touch()
    assert probe(None, tmp_path / "file" / "cache").works


def test_what_is_chosen_without_it(monkeypatch: pytest.MonkeyPatch, image: Image) -> None:
    monkeypatch.setattr(accel, "probe", lambda _: Probe(False, "because"))
    notes: list[str] = []
    assert choose("auto", [image], notes.append) == "tcg"
    assert notes == ["guests are emulated by TCG: because"]
    assert choose("tcg", [image]) == "tcg"
    with pytest.raises(EnvironmentLacksError, match="KVM does not work here: because; use --accel tcg"):
        choose("kvm", [image])
