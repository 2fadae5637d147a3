"""What runs on the hypervisor and in guests outside of our packages: the check before a start, the phases program."""

from __future__ import annotations

import fcntl
import importlib.machinery
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vmdedup.errors import UsageError, VmdedupError
from vmdedup.live.provision.plan import RunPlan
from vmdedup.live.provision.playbook import playbook_folder
from vmdedup.result.directory import RunDirectory
from vmdedup.run.qemu import provisioned

ROLES = playbook_folder() / "roles"

# The state of libvirt's test driver: a domain of ours, and one that only has such a name.
NODE = """<node>
  <domain type='test'><name>vmdedup-ours</name><memory>1024</memory><os><type>hvm</type></os>
    <metadata><v:domain xmlns:v='https://vmdedup.org/domain/1' run='a'/></metadata></domain>
  <domain type='test'><name>vmdedup-theirs</name><memory>1024</memory><os><type>hvm</type></os></domain>
</node>"""


def may_start(folder: Path, name: str, mergeable: bool) -> subprocess.CompletedProcess[str]:
    """Ask the script of role guests."""
    node = folder / "node.xml"
    node.write_text(NODE)
    script = ROLES / "guests" / "files" / "may-start.sh"
    words = [name, f"test://{node}", str(mergeable), str(folder / "lock")]
    return subprocess.run(["sh", str(script), *words], capture_output=True, text=True)


@pytest.mark.skipif(shutil.which("virsh") is None, reason="virsh is missing; apt install libvirt-clients")
@pytest.mark.parametrize(
    ("name", "mergeable", "refusal"),
    [
        ("vmdedup-new", False, ""),
        ("vmdedup-ours", False, ""),
        ("vmdedup-theirs", False, "a domain vmdedup-theirs that is not of vmdedup exists"),
        ("mine", False, "the name of a guest begins with vmdedup-"),
        ("vmdedup-new", True, "a mergeable guest needs the lock"),
    ],
)
def test_what_may_not_start_is_refused_in_one_line(tmp_path: Path, name: str, mergeable: bool, refusal: str) -> None:
    done = may_start(tmp_path, name, mergeable)
    assert (done.returncode == 0) == (refusal == "")
    assert refusal in done.stdout
    assert done.stdout.count("\n") == (refusal != "")


@pytest.mark.skipif(shutil.which("virsh") is None, reason="virsh is missing; apt install libvirt-clients")
def test_a_mergeable_guest_may_start_while_the_lock_is_held(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert may_start(tmp_path, "vmdedup-new", True).returncode == 0


@pytest.fixture(scope="module")
def phases() -> Any:
    """The program phases as a module."""
    loader = importlib.machinery.SourceFileLoader("phases", str(ROLES / "workload" / "files" / "phases"))
    spec = importlib.util.spec_from_loader("phases", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


def pages_of(phases: Any, kind: str, seed: int, base: int = 0) -> list[bytes]:
    """Eight pages."""
    content = phases.Content(kind, 0.95, base, seed)
    return [content.page(number) for number in range(8)]


def test_pages_are_of_their_kind(phases: Any) -> None:
    assert set(pages_of(phases, "zero", 1)) == {bytes(4096)}
    assert len(set(pages_of(phases, "random", 1))) == 8
    assert len(set(pages_of(phases, "identical", 1))) == 1
    assert len(set(pages_of(phases, "similar", 1))) == 8
    assert all(len(page) == 4096 for kind in phases.KINDS for page in pages_of(phases, kind, 1))
    mixed = pages_of(phases, "mixed", 1)
    assert mixed[0] == bytes(4096)
    assert mixed[2] == mixed[6] == pages_of(phases, "identical", 2)[0]


def test_guests_share_what_they_should(phases: Any) -> None:
    assert pages_of(phases, "identical", 1) == pages_of(phases, "identical", 2)
    assert pages_of(phases, "identical", 1, base=1) != pages_of(phases, "identical", 2, base=2)
    assert not set(pages_of(phases, "random", 1)) & set(pages_of(phases, "random", 2))


def test_similar_pages_differ_as_much_as_is_said(phases: Any) -> None:
    """5 % of the bytes: 205 of 4096; the bounds are five standard deviations of eight pages' mean away."""
    base = pages_of(phases, "identical", 1)[0]
    different = [sum(a != b for a, b in zip(page, base, strict=True)) for page in pages_of(phases, "similar", 1)]
    assert 180 < sum(different) / len(different) < 235


def test_phases_write_16_places_of_every_page(phases: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phases, "FOLDER", str(tmp_path))
    work = phases.Phases(100, phases.Content("identical", 0.95, 0, 1), mib_s=1e6)
    work.allocate()
    before = (tmp_path / "pages").read_bytes()
    work.read()
    work.write()
    after = (tmp_path / "pages").read_bytes()
    assert len(before) == len(after) == 100 * 4096
    places = {place % 4096 for place in range(len(before)) if before[place] != after[place]}
    assert places <= set(phases.OFFSETS)
    assert len(places) == 16
    work.free()
    assert (tmp_path / "pages").stat().st_size == 0


def test_measuring_needs_a_plan_and_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provisioned, "require_root", lambda: None)
    results = RunDirectory(tmp_path / "results")
    with pytest.raises(UsageError, match="no plan of a run"):
        provisioned.measure_provisioned(tmp_path, results)
    RunPlan("s", 1, (), {}, 1.0, 1.0).save(tmp_path)
    monkeypatch.setattr("vmdedup.live.ksm.lock.lock_path", lambda: tmp_path / "lock")
    with pytest.raises(VmdedupError, match="nobody holds KSM's lock"):
        provisioned.measure_provisioned(tmp_path, results)
