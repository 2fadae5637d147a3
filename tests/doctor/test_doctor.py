"""What the machine can do: each finding when something is there, and when it is not."""

from __future__ import annotations

import errno
import grp
import gzip
import json
import os
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from kit.doctored import Fake, healthy, no_kvm
from vmdedup.cli import run_command
from vmdedup.doctor.examine import document, examine, problems
from vmdedup.doctor.finding import PURPOSES, Status, good, lack, note
from vmdedup.doctor.machine import Machine, free_bytes, has_module, kvm_api_version, run_program
from vmdedup.doctor.scene import lock_holder
from vmdedup.doctor.text import lines, summary
from vmdedup.live.guests import accel

Change = Callable[[Fake], Any]


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[Fake]:
    with ExitStack() as stack:
        yield healthy(tmp_path, stack)


def remove(path: str) -> Change:
    return lambda fake: (fake.root / path).unlink()


def fields(**changes: Any) -> Change:
    return lambda fake: fake.fields.update(changes)


def no_ksm(fake: Fake) -> None:
    for path in (fake.root / "sys/kernel/mm/ksm").iterdir():
        path.unlink()


def hold(fake: Fake) -> None:
    """Process 70 holds the lock."""
    inode = fake.write("/run/vmdedup/ksm.lock", "70\n").stat().st_ino
    fake.write(
        "/proc/locks",
        f"1: POSIX  ADVISORY  WRITE 9 00:17:{inode} 0 EOF\n2: FLOCK  ADVISORY  WRITE 70 00:17:{inode} 0 EOF\n",
    )


def refuse_kvm(fake: Fake) -> None:
    def refused(device: Path) -> int:
        raise OSError(errno.EACCES, "Permission denied")

    fake.fields["kvm_version"] = refused


def leave(fake: Fake) -> None:
    """A run was killed together with its guardian."""
    fake.write("/run/vmdedup/abcdefgh.before", "{}\n")


HANGING = fields(run=lambda command, seconds: (-1, "no answer within 1 s"))

CASES: list[tuple[str, Change, str, str, Status]] = [
    ("ksm.present", no_ksm, "merging", "there is no /sys/kernel/mm/ksm", Status.PROBLEM),
    ("ksm.present", remove("sys/kernel/mm/ksm/smart_scan"), "kernel", "older than Linux 6.7", Status.PROBLEM),
    ("ksm.root", fields(euid=1000), "kernel", "by root only", Status.PROBLEM),
    ("ksm.thread", remove("proc/2/comm"), "kernel", "ksmd is not to be seen", Status.PROBLEM),
    ("ksm.lock", hold, "kernel", "in use by process 70 (qemu-system", Status.NOTE),
    ("ksm.left", leave, "kernel", "stands in /run/vmdedup/abcdefgh.before", Status.PROBLEM),
    ("kvm.device", fields(kvm_version=no_kvm), "guests", "No such file", Status.NOTE),
    ("kvm.device", refuse_kvm, "guests", "may not be opened", Status.NOTE),
    ("kvm.device", fields(kvm_version=lambda device: 3), "guests", "speaks version 3, not 12", Status.NOTE),
    (
        "kvm.boots",
        fields(boot=lambda: accel.Probe(False, "it hangs")),
        "guests",
        "boots nothing: it hangs",
        Status.NOTE,
    ),
    ("qemu.program", remove("usr/bin/qemu-system-x86_64"), "guests", "is missing", Status.PROBLEM),
    ("libvirt.package", remove("usr/bin/libvirtd"), "guests", "libvirtd is missing", Status.PROBLEM),
    ("libvirt.daemon", remove("run/libvirt/libvirt-sock"), "guests", "does not run", Status.PROBLEM),
    ("libvirt.daemon", HANGING, "guests", "does not answer: no answer within 1 s", Status.PROBLEM),
    ("libvirt.python", fields(has_module=lambda name: name != "libvirt"), "guests", "is missing", Status.PROBLEM),
    ("ansible.core", remove("usr/bin/ansible-playbook"), "ansible", "ansible-playbook is missing", Status.PROBLEM),
    (
        "ansible.collection",
        fields(has_module=lambda name: "ansible" not in name),
        "ansible",
        "community.libvirt is missing",
        Status.PROBLEM,
    ),
    ("images.tools", remove("usr/bin/mke2fs"), "images", "mke2fs missing", Status.PROBLEM),
    (
        "room.memory",
        lambda fake: fake.write("/proc/meminfo", "MemAvailable: 1024 kB\n"),
        "guests",
        "1MiB of memory",
        Status.PROBLEM,
    ),
    ("room.disk", fields(free_bytes=lambda folder: 1 << 30), "images", "1GiB are free", Status.PROBLEM),
]

NAMES = [f"{case[0]} {case[3]}" for case in CASES]


@pytest.mark.parametrize(("name", "change", "purpose", "text", "status"), CASES, ids=NAMES)
def test_what_is_missing_is_found(
    name: str, change: Change, purpose: str, text: str, status: Status, fake: Fake
) -> None:
    assert fake.findings(purpose)[name].status is Status.OK
    change(fake)
    found = fake.findings(purpose)[name]
    assert found.status is status
    assert text in found.text
    assert found.remedy


@pytest.mark.parametrize(("name", "change", "purpose", "text", "status"), CASES, ids=NAMES)
def test_what_nobody_asked_for_is_no_problem(
    name: str, change: Change, purpose: str, text: str, status: Status, fake: Fake
) -> None:
    change(fake)
    other = "images" if purpose != "images" else "kernel"
    found = fake.findings(other)[name].status
    assert found is (Status.NOTE if status is Status.NOTE else Status.WARNING)


def test_a_healthy_machine_has_no_problem(fake: Fake) -> None:
    found = examine(fake.scene(), list(PURPOSES))
    assert problems(found) == 0
    assert {finding.status for finding in found} == {Status.OK}
    assert len({finding.name for finding in found}) == len(found)


def test_a_kernel_without_ksm_says_so(fake: Fake) -> None:
    no_ksm(fake)
    (fake.root / "proc/config.gz").write_bytes(gzip.compress(b"CONFIG_X=y\n# CONFIG_KSM is not set\n"))
    assert "CONFIG_KSM is not set" in fake.findings()["ksm.present"].text
    (fake.root / "proc/config.gz").write_bytes(gzip.compress(b"CONFIG_KSM=y\n"))
    found = fake.findings()
    assert "/sys is not mounted" in found["ksm.present"].text
    assert not [name for name in found if name.startswith("merging")], "nothing is said of a KSM that is not there"


def test_a_dead_holder_of_the_lock_is_told(fake: Fake) -> None:
    hold(fake)
    for path in ("comm", "cmdline"):
        (fake.root / "proc/70" / path).unlink()
    assert "process 70 (ended; its guardian still restores)" in fake.findings()["ksm.lock"].text


def test_tunables_that_somebody_borrowed_are_left_alone(fake: Fake) -> None:
    fake.ksm(pages_to_scan=0)
    assert fake.status("merging.pages_to_scan") is Status.PROBLEM
    hold(fake)
    found = fake.findings()["merging.pages_to_scan"]
    assert (found.status, found.remedy) == (Status.NOTE, "")
    assert "as process 70 wants it now" in found.text


def test_a_daemon_that_does_not_let_us_in_says_who_may(fake: Fake) -> None:
    fake.fields["run"] = lambda command, seconds: (1, "error: failed\nerror: authentication unavailable")
    found = fake.findings("guests")["libvirt.daemon"]
    assert "does not let us in: error: authentication unavailable" in found.text
    assert "run vmdedup with sudo" in found.remedy


def test_kvm_is_asked_by_booting_and_not_called_fine_where_nothing_boots(fake: Fake) -> None:
    assert {"kvm.device", "kvm.boots"} <= set(fake.findings())
    fake.fields["boot"] = lambda: accel.Probe(False, "status -6")
    found = fake.findings()
    assert "kvm.device" not in found, "that it opens is no good news"
    assert found["kvm.boots"].text.startswith("/dev/kvm opens, but KVM boots nothing: status -6; ")
    fake.fields["kvm_version"] = no_kvm
    assert "kvm.boots" not in fake.findings(), "there is nothing to boot on"


def test_kvm_without_qemu_is_not_said_to_boot_nothing(fake: Fake) -> None:
    (fake.root / "usr/bin/qemu-system-x86_64").unlink()
    fake.fields["boot"] = lambda: pytest.fail("QEMU is missing")
    assert "kvm.boots" not in fake.findings()


@pytest.mark.parametrize("euid", [0, 1000])
def test_what_only_root_can_do_is_given_with_sudo_to_others(euid: int, fake: Fake) -> None:
    """Started by somebody else libvirtd is that user's own, which has none of the guests."""
    (fake.root / "run/libvirt/libvirt-sock").unlink()
    (fake.root / "usr/bin/mke2fs").unlink()
    fake.fields["euid"] = euid
    found = fake.findings("guests", "images")
    for name in ("libvirt.daemon", "images.tools"):
        assert found[name].remedy.startswith("sudo ") == (euid != 0), found[name].remedy


def test_a_lock_file_that_nobody_holds_is_free(fake: Fake) -> None:
    hold(fake)
    fake.write("/proc/locks", "")
    assert fake.status("ksm.lock") is Status.OK
    assert lock_holder(fake.machine(), "/run/lock/none") == 0


@pytest.mark.parametrize(("mode", "group", "joins"), [(0o770, 12345, True), (0o700, 12345, False), (0o770, 0, False)])
def test_a_socket_that_may_not_be_used_names_a_group_only_if_that_helps(
    mode: int, group: int, joins: bool, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: socket.socket, address: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    named = lambda gid: grp.struct_group(("virtfolk", "x", gid, []))  # noqa: E731
    monkeypatch.setattr(grp, "getgrgid", named)
    there = (fake.root / "run/libvirt/libvirt-sock").stat()
    owned = os.stat_result((stat.S_IFSOCK | mode, *there[1:5], group, *there[6:]))
    monkeypatch.setattr(Path, "stat", lambda path: owned)
    fake.fields["euid"] = 1000
    found = fake.findings("guests")["libvirt.daemon"]
    assert found.status is Status.PROBLEM
    assert "may not be used" in found.text
    assert found.remedy.startswith("run vmdedup with sudo")
    assert ("sudo usermod -aG virtfolk $USER" in found.remedy) == joins


def test_a_daemon_is_taken_at_its_word_without_virsh(fake: Fake) -> None:
    (fake.root / "usr/bin/virsh").unlink()
    assert "takes connections" in fake.findings()["libvirt.daemon"].text


def test_a_collection_in_a_folder_is_found(fake: Fake) -> None:
    fake.fields["has_module"] = lambda name: False
    assert fake.status("ansible.collection") is Status.WARNING
    (fake.root / "users/someone/.ansible/collections/ansible_collections/community/libvirt").mkdir(parents=True)
    assert fake.status("ansible.collection") is Status.OK


def test_text_is_grouped_with_remedies() -> None:
    found = [
        good("ksm.present", "there"),
        lack("merging.run", "off", "echo 1", "merging").judged(["merging"]),
        lack("images.tools", "none", "apt", "images").judged(["merging"]),
        note("ksm.lock", "held", "wait"),
    ]
    assert list(lines(found)) == [
        "the kernel's KSM",
        "  ok       there",
        "  note     held",
        "           → wait",
        "",
        "is anything merging?",
        "  problem  off",
        "           → echo 1",
        "",
        "building images",
        "  warning  none",
        "           → apt",
        "",
        "1 problem, 1 warning, 1 note, 1 ok",
    ]
    assert summary([good("a.b", "c"), good("a.b", "c")]) == "2 ok"


def test_the_document_has_every_finding() -> None:
    found = [lack("merging.run", "off", "echo 1", "merging", pid=7).judged(["merging"])]
    expected = {
        "id": "merging.run",
        "group": "merging",
        "status": "problem",
        "text": "off",
        "remedy": "echo 1",
        "purposes": ["merging"],
        "pid": 7,
    }
    assert document(found, ["merging"]) == {
        "schema_version": 1,
        "purposes": ["merging"],
        "problems": 1,
        "findings": [expected],
    }


# This machine


def test_the_tools_of_this_machine() -> None:
    assert has_module("vmdedup.errors")
    assert not has_module("vmdedup.nonsense")
    assert not has_module("nonsense.nonsense")
    assert run_program(["sh", "-c", "echo a; exit 3"], 5) == (3, "a")
    assert run_program(["sleep", "9"], 0.01) == (-1, "no answer within 0.01 s")
    assert run_program(["/none"], 5) == (-1, "No such file or directory")
    assert free_bytes(Path("/none/such/folder")) > 0
    with pytest.raises(OSError, match="ioctl"):
        kvm_api_version(Path("/dev/null"))
    assert Machine().program("sh") is not None
    assert Machine().program("nonsense") is None


def test_the_command_on_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    status = run_command(["doctor", "--json"])
    read = json.loads(capsys.readouterr().out)
    assert status == (4 if read["problems"] else 0)
    assert read["schema_version"] == 1
    assert {"ksm", "kvm", "qemu", "libvirt", "ansible", "images", "room"} <= {f["group"] for f in read["findings"]}
    assert run_command(["doctor", "--no-color"]) == status
    out = capsys.readouterr().out
    assert out.startswith("the kernel's KSM\n")
    assert "\x1b" not in out


@pytest.mark.parametrize(("works", "status"), [(True, "ok"), (False, "note")])
def test_a_deep_look_boots_something(
    works: bool, status: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(accel, "probe", lambda image=None: accel.Probe(works, "it was tried"))
    run_command(["doctor", "--deep", "--json"])
    findings = json.loads(capsys.readouterr().out)["findings"]
    boots = next(finding for finding in findings if finding["id"] == "kvm.boots")
    assert boots["status"] == status
    assert "it was tried" in boots["text"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--pid", "999999999"], "there is no process 999999999; find the guests' with: pgrep -a qemu"),
        (["--domain", "nonsense"], "no QEMU process runs domain nonsense; start it: virsh start nonsense"),
        (["--pid", "1", "--domain", "x"], "give one of them"),
        (["--for", "fun"], "see vmdedup doctor --help"),
    ],
)
def test_bad_arguments_are_one_line(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["doctor", *arguments]) == 2
    captured = capsys.readouterr()
    assert complaint in captured.err
    assert captured.err.count("\n") == 1
