"""Domains of ours on libvirt's test driver, which has no machines behind it: described, marked, found, removed."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from vmdedup.cli import run_command
from vmdedup.errors import EnvironmentLacksError, GuestError, KnobError, UsageError
from vmdedup.live.guests import binding
from vmdedup.live.guests.connection import Connection
from vmdedup.live.guests.domain import QEMU, DomainSpec, to_xml
from vmdedup.live.guests.guest import Guest, last_lines, qemu_pid
from vmdedup.live.guests.marks import NAMESPACE, Mark, mark_of_this_process, read_mark, start_time
from vmdedup.live.guests.node_memory import NodeFiles, node_figures
from vmdedup.live.guests.overlay import make_overlay
from vmdedup.live.guests.removal import list_ours, remove

pytest.importorskip("libvirt", reason="libvirt-python is missing: pip install 'vmdedup[libvirt]'")

TEST = "test:///default"
SCHEMA = Path("/usr/share/libvirt/schemas/domain.rng")


@pytest.fixture
def connection() -> Iterator[Connection]:
    """The test driver, with its one domain, `test`; a new one for each test."""
    with Connection(TEST) as connection:
        yield connection


def spec(**changes: Any) -> DomainSpec:
    """A guest."""
    plain: dict[str, Any] = {
        "name": "run-a",
        "mark": Mark("run", 4, 77, "tiny"),
        "memory_mib": 128,
        "kernel": Path("/k"),
        "initrd": Path("/i"),
        "cmdline": "console=ttyS0 name=<a>&b",
        "console": Path("/c"),
    }
    return DomainSpec(**(plain | changes))


def define(connection: Connection, name: str, mark: Mark | None, kind: str = "define") -> Any:
    """A domain on the test driver."""
    root = ET.Element("domain", type="test")
    ET.SubElement(root, "name").text = name
    ET.SubElement(root, "memory", unit="MiB").text = "64"
    ET.SubElement(ET.SubElement(root, "os"), "type").text = "hvm"
    if mark is not None:
        ET.SubElement(root, "metadata").append(mark.element())
    text = ET.tostring(root, encoding="unicode")
    return connection.raw.defineXML(text) if kind == "define" else connection.raw.createXML(text, 0)


# What is described


def test_description_of_a_guest() -> None:
    root = ET.fromstring(to_xml(spec()))
    assert root.get("type") == "qemu"
    assert root.findtext("name") == "vmdedup-run-a"
    assert root.findtext("memory") == "128"
    assert root.findtext("os/cmdline") == "console=ttyS0 name=<a>&b"
    assert root.findtext("features/tcg/tb-cache") == "64"
    mark = root.find(f"metadata/{{{NAMESPACE}}}domain")
    assert mark is not None
    assert mark.attrib == {"run": "run", "owner": "4", "since": "77", "image": "tiny"}
    assert root.find("memoryBacking") is None
    assert root.find("devices/disk") is None
    assert root.find(f"{{{QEMU}}}commandline") is None


def test_description_with_all_there_is() -> None:
    root = ET.fromstring(to_xml(spec(accel="kvm", sharing=False, disk=Path("/d.qcow2"), ssh_port=2201, vcpus=2)))
    assert root.get("type") == "kvm"
    assert root.find("features/tcg") is None
    assert root.find("memoryBacking/nosharepages") is not None
    assert root.findtext("vcpu") == "2"
    source = root.find("devices/disk/source")
    assert source is not None
    assert source.get("file") == "/d.qcow2"
    words = [word.get("value") for word in root.iter(f"{{{QEMU}}}arg")]
    assert "user,id=u0,hostfwd=tcp:127.0.0.1:2201-:22" in words


@pytest.mark.skipif(not SCHEMA.exists(), reason="libvirt's schemas are missing: apt install libvirt-daemon-system")
@pytest.mark.parametrize("changes", [{}, {"accel": "kvm", "sharing": False, "disk": Path("/d"), "ssh_port": 22}])
def test_libvirt_s_schema_accepts_it(changes: dict[str, Any]) -> None:
    etree = pytest.importorskip("lxml.etree", reason="lxml is missing: pip install 'vmdedup[ansible]'")
    schema = etree.RelaxNG(etree.parse(str(SCHEMA)))
    assert schema.validate(etree.fromstring(to_xml(spec(**changes)))), schema.error_log


# Whose they are


def test_a_mark_is_read_back(connection: Connection) -> None:
    mark = mark_of_this_process("r", "tiny")
    assert read_mark(define(connection, "vmdedup-x", mark)) == mark
    assert (mark.owner, mark.since) == (os.getpid(), start_time(os.getpid()))
    assert mark.is_owned()


@pytest.mark.parametrize("mark", [Mark("r"), Mark("r", os.getpid(), 1), Mark("r", 1 << 22, 5)])
def test_an_owner_that_is_gone(mark: Mark) -> None:
    """None named; its number had by another process; nobody has it."""
    assert not mark.is_owned()


def test_prefix_and_metadata_are_both_needed(connection: Connection) -> None:
    define(connection, "vmdedup-bare", None)
    define(connection, "other", Mark("r"))
    define(connection, "vmdedup-ours", Mark("r"))
    assert [ours.name for ours in list_ours(connection)] == ["vmdedup-ours"]


# Removing


def test_removal_of_what_runs_and_what_is_only_defined(connection: Connection) -> None:
    define(connection, "vmdedup-off", Mark("r"))
    define(connection, "vmdedup-on", Mark("r")).create()
    define(connection, "vmdedup-transient", Mark("r"), "create")
    names = [ours.name for ours in list_ours(connection)]
    assert [ours.state for ours in list_ours(connection)] == ["shut off", "running", "running"]
    assert remove(connection, [*names, names[0]]) == names
    assert list_ours(connection) == []
    assert [domain.name() for domain in connection.domains()] == ["test"]


@pytest.mark.parametrize(("name", "words"), [("test", "not one of vmdedup's"), ("vmdedup-no", "does not exist")])
def test_removal_of_others_is_refused(connection: Connection, name: str, words: str) -> None:
    define(connection, "vmdedup-off", Mark("r"))
    with pytest.raises(UsageError, match=words):
        remove(connection, ["vmdedup-off", name])
    assert len(list_ours(connection)) == 1  # nothing was removed
    assert len(connection.domains()) == 2


@pytest.mark.parametrize(
    ("mark", "words"),
    [(None, "exists and is not ours; choose another name"), (Mark("r"), "remove it with `vmdedup live remove")],
)
def test_a_name_that_is_taken(connection: Connection, mark: Mark | None, words: str) -> None:
    there = define(connection, "vmdedup-run-a", mark)
    with pytest.raises(GuestError, match=words):
        Guest(connection, spec())
    assert there.name() == "vmdedup-run-a"


def test_what_libvirt_refuses_is_one_line(connection: Connection) -> None:
    with pytest.raises(GuestError, match=r"^vmdedup-run-a does not start: [^\n]+$"):
        Guest(connection, spec())  # the test driver knows no flag that ends it with us


# Errors of connecting


@pytest.mark.parametrize(
    ("uri", "kind", "words"),
    [
        ("qemu+unix:///system?socket=/nowhere/sock", EnvironmentLacksError, "libvirtd is not running .*start it: "),
        ("nonsense:///x", UsageError, "give a URI of libvirt such as qemu:///system"),
    ],
)
def test_no_connection(uri: str, kind: type[Exception], words: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(kind, match=words):
        Connection(uri)
    assert capfd.readouterr().err == ""  # libvirt itself prints nothing


class RefusedError(Exception):
    """Looks like libvirt's error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code

    def get_error_code(self) -> int:
        """Its number."""
        return self.code

    def get_error_message(self) -> str:
        """Its words."""
        return str(self)


def test_no_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(uri: str) -> None:
        raise RefusedError(38, "Failed to connect socket to '/var/run/libvirt/libvirt-sock': Permission denied")

    libvirt = binding.load()
    monkeypatch.setattr(libvirt, "libvirtError", RefusedError)
    monkeypatch.setattr(libvirt, "open", deny)
    with pytest.raises(EnvironmentLacksError, match=r"no permission for qemu:///system .*group libvirt"):
        Connection()


def test_a_daemon_that_has_gone() -> None:
    error = binding.explain("g cannot be paused", RefusedError(1, "client socket is closed"))
    assert isinstance(error, EnvironmentLacksError)
    assert "libvirtd has gone" in str(error)
    assert "vmdedup live remove --all" in str(error)


def test_no_library() -> None:
    code = (
        "import sys; sys.modules['libvirt'] = None\n"
        "from vmdedup.cli import run_command; sys.exit(run_command(['live', 'list']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (4, "")
    assert "apt install libvirt-dev" in done.stderr
    assert "pip install 'vmdedup[libvirt]'" in done.stderr


# KSM through libvirt


def test_a_driver_without_ksm(connection: Connection) -> None:
    with pytest.raises(EnvironmentLacksError, match="use qemu:///system"):
        node_figures(connection)


class Node:
    """A libvirt connection that notes what it is told, or refuses."""

    def __init__(self, refuses: bool) -> None:
        self.told: list[dict[str, int]] = []
        self.raw, self._refuses = self, refuses

    def setMemoryParameters(self, parameters: dict[str, int], flags: int) -> None:  # noqa: N802 - libvirt's name
        """As virNodeSetMemoryParameters."""
        if self._refuses:
            raise binding.load().libvirtError("no")
        self.told.append(parameters)


@pytest.mark.parametrize("refuses", [False, True])
def test_tunables_go_through_libvirt_as_far_as_it_has_them(monkeypatch: pytest.MonkeyPatch, refuses: bool) -> None:
    written: list[tuple[str, str | int]] = []
    monkeypatch.setattr("vmdedup.live.ksm.sysfs.KsmFiles.write", lambda _, knob, value: written.append((knob, value)))
    node = Node(refuses)
    files = NodeFiles(node)  # type: ignore[arg-type]
    orders: list[tuple[str, str | int]] = [
        ("pages_to_scan", "70"),
        ("run", "1"),
        ("sleep_millisecs", 4_000_000_000),
        ("pages_to_scan", 1 << 32),
        ("merge_across_nodes", "y"),
    ]
    for knob, value in orders:
        files.write(knob, value)
    through_libvirt = [{"shm_pages_to_scan": 70}, {"shm_sleep_millisecs": 4_000_000_000}]
    assert node.told == ([] if refuses else through_libvirt)
    assert written == (orders if refuses else [orders[1], *orders[3:]])


def test_libvirt_s_unsigned_numbers_are_read_as_such() -> None:
    """Its Python binding hands them on as signed ones."""
    told = {"shm_sleep_millisecs": -294967132, "shm_pages_to_scan": 100, "shm_full_scans": 1 << 40}
    raw = SimpleNamespace(getMemoryParameters=lambda flags: told)
    found = node_figures(SimpleNamespace(raw=raw))  # type: ignore[arg-type]
    assert found == {"full_scans": 1 << 40, "pages_to_scan": 100, "sleep_millisecs": 4_000_000_164}


def test_a_refusal_has_the_kernel_s_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(_: object, knob: str, value: str) -> None:
        raise KnobError(knob, value, "EBUSY")

    monkeypatch.setattr("vmdedup.live.ksm.sysfs.KsmFiles.write", busy)
    with pytest.raises(KnobError, match="EBUSY"):
        NodeFiles(Node(True)).write("merge_across_nodes", "0")  # type: ignore[arg-type]


# Disks, consoles, processes


def test_overlays_share_a_base(tmp_path: Path) -> None:
    if shutil.which("qemu-img") is None:
        pytest.skip("qemu-img is missing: apt install qemu-utils")
    base = tmp_path / "base.raw"
    base.write_bytes(bytes(1 << 20))
    overlay = make_overlay(base, tmp_path / "a.qcow2")
    told = json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", str(overlay)]))
    assert (told["format"], told["backing-filename"], told["virtual-size"]) == ("qcow2", str(base), 1 << 20)
    with pytest.raises(GuestError, match="no overlay on"):
        make_overlay(tmp_path / "none.raw", tmp_path / "b.qcow2")


def test_no_qemu_img(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentLacksError, match="apt install qemu-utils"):
        make_overlay(tmp_path / "base.raw", tmp_path / "a.qcow2")


def test_a_guest_without_a_process_has_ended() -> None:
    with pytest.raises(GuestError, match="ended as soon as it was started"):
        qemu_pid("vmdedup-t-no-such-guest")


def test_last_lines_of_a_console() -> None:
    assert last_lines("one\n\n two \r\nthree\nfour\n") == "two | three | four"
    assert last_lines("\n") == "nothing"


# Commands


def test_list_and_remove(connection: Connection, capsys: pytest.CaptureFixture[str]) -> None:
    define(connection, "vmdedup-left", Mark("r", 1 << 22, 5, "tiny"))
    define(connection, "vmdedup-mine", mark_of_this_process("r"))
    assert run_command(["live", "list", "--connect", TEST, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema_version"] == 1
    assert [(g["name"], g["owned"], g["image"]) for g in document["guests"]] == [
        ("vmdedup-left", False, "tiny"),
        ("vmdedup-mine", True, ""),
    ]
    assert run_command(["live", "remove", "--all", "--connect", TEST]) == 0
    said = capsys.readouterr()
    assert said.out == "removed vmdedup-left\n"
    assert "kept vmdedup-mine: the process that made it still runs" in said.err
    assert run_command(["live", "remove", "--all", "--force", "--connect", TEST, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["removed"] == ["vmdedup-mine"]
    assert run_command(["live", "list", "--connect", TEST]) == 0
    assert capsys.readouterr().out.startswith("0 guests")


@pytest.mark.parametrize("words", [[], ["x", "--all"]])
def test_remove_wants_names_or_all(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["live", "remove", "--connect", TEST, *words]) == 2
    assert "give names of guests, or --all" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--pause"], ["--verify"], ["--dump", "x"], ["--huge-pages", "keep"]])
def test_options_that_need_direct(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["live", "run", "twins", *option]) == 2
    assert f"{option[0]} goes with --direct only" in capsys.readouterr().err
