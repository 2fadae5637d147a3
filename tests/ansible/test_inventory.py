"""From a scenario to Ansible's inventory, and the domain that its role defines."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from vmdedup.cli import run_command
from vmdedup.errors import UsageError
from vmdedup.live.guests.domain import DomainSpec, to_xml
from vmdedup.live.guests.marks import Mark
from vmdedup.live.provision.inventory import inventory, save_inventory
from vmdedup.live.provision.plan import RunPlan, domain_name, free_ports
from vmdedup.live.provision.playbook import playbook_folder
from vmdedup.run.qemu.plan import real_plan
from vmdedup.scenario.load import load_scenario
from vmdedup.scenario.model import Scenario

SCENARIO = """
title = "two kinds"
duration = "20s"
seed = 7
[ksm]
run = 1
pages_to_scan = 5000
[host]
sample_interval = "500ms"
[[guests]]
name = "web"
count = 2
memory = "192MiB"
workload = "webdb"
parameters = { workers = 2, worker_mib = 1 }
[[guests]]
name = "small"
memory = "128MiB"
workload = "idle"
disk = { image = "tiny" }
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    """The scenario above."""
    path = tmp_path / "kinds.toml"
    path.write_text(SCENARIO)
    return load_scenario(str(path))


def test_a_scenario_becomes_a_plan(scenario: Scenario) -> None:
    plan, notes = real_plan(scenario)
    assert [guest.name for guest in plan.guests] == ["web-0", "web-1", "small"]
    assert [guest.domain for guest in plan.guests] == [
        "vmdedup-kinds-web-0",
        "vmdedup-kinds-web-1",
        "vmdedup-kinds-small",
    ]
    assert [guest.image for guest in plan.guests] == ["debian", "debian", "tiny"]
    assert [guest.memory_mib for guest in plan.guests] == [192, 192, 128]
    assert plan.guests[0].parameters == {"workers": "2"}
    assert len({guest.port for guest in plan.guests}) == 3
    assert (plan.seconds, plan.interval, plan.seed, plan.images) == (20.0, 0.5, 7, ["debian", "tiny"])
    assert plan.tunables["pages_to_scan"] == "5000"
    assert plan.tunables["run"] == "1"
    assert plan.tunables["sleep_millisecs"] == "20", "what the scenario leaves out is as the emulator has it"
    assert len(notes) == 1
    assert "worker_mib" in notes[0]


def test_an_image_can_be_chosen_for_all(scenario: Scenario) -> None:
    assert real_plan(scenario, "tiny")[0].images == ["tiny"]


def test_the_advisor_is_left_its_own_tunable(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text('[ksm]\nadvisor_mode = "scan-time"\n[[guests]]\nname = "a"\n')
    tunables = real_plan(load_scenario(str(path)))[0].tunables
    assert tunables["advisor_mode"] == "scan-time"
    assert "pages_to_scan" not in tunables


def test_a_workload_of_the_emulator_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "stress.toml"
    path.write_text('[[guests]]\nname = "a"\nworkload = "stress"\n')
    with pytest.raises(UsageError, match=r"'stress' exists in the emulator only; give one of .*phases"):
        real_plan(load_scenario(str(path)))


def test_a_plan_is_read_back_as_it_was(scenario: Scenario, tmp_path: Path) -> None:
    plan, _ = real_plan(scenario)
    plan.save(tmp_path)
    assert RunPlan.load(tmp_path) == plan


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"guests": [{}]}', '{"guests": 3}'])
def test_a_plan_that_is_none_is_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "plan.json").write_text(text)
    with pytest.raises(UsageError, match=r"plan\.json is no plan of a run"):
        RunPlan.load(tmp_path)


def test_domains_can_be_host_names() -> None:
    name = domain_name("a-scenario-with-a-very-long-na", "group-with-a-very-long-name-too-1234")
    assert len(name) <= 60
    assert name.startswith("vmdedup-a-scenario")


def test_ports_are_free_and_different() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    for port in ports:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))


def test_the_inventory_is_what_ansible_reads(scenario: Scenario, tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "ansible-inventory"
    if not program.exists():
        pytest.skip("Ansible is missing; pip install 'vmdedup[ansible]'")
    plan, _ = real_plan(scenario)
    where = save_inventory(inventory(plan, tmp_path, Path("/images"), (12, 34)), tmp_path)
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "ANSIBLE_HOME": str(tmp_path), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [program, "-i", where, "--list"], env=environment, capture_output=True, text=True, cwd=playbook_folder()
    )
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout)
    assert set(read["guests"]["hosts"]) == {guest.domain for guest in plan.guests}
    variables = read["_meta"]["hostvars"]["vmdedup-kinds-small"]
    assert variables["ansible_port"] == plan.guests[2].port
    assert variables["guests_image_directory"] == "/images/tiny"
    assert (variables["guests_owner"], variables["guests_owner_since"]) == (12, 34)
    assert variables["ksm_tunables"]["run"] == "0", "ksmd is started by whoever measures"


def described(folder: Path, capsys: pytest.CaptureFixture[str], **more: object) -> ET.Element:
    """The domain that the role `guests` defines of a guest: what the command says that it calls."""
    jinja2 = pytest.importorskip("jinja2", reason="Ansible is missing; pip install 'vmdedup[ansible]'")
    yaml = pytest.importorskip("yaml", reason="Ansible is missing; pip install 'vmdedup[ansible]'")
    role = playbook_folder() / "roles" / "guests"
    defaults = yaml.safe_load((role / "defaults" / "main.yml").read_text())
    variables = {
        **defaults,
        "inventory_hostname": "vmdedup-a-b",
        "ansible_port": 2201,
        "guests_run": "a",
        "guests_owner": 12,
        "guests_owner_since": 34,
        "guests_image_directory": str(folder),
        "guests_overlay": f"{folder}/vmdedup-a-b.qcow2",
        "guests_console": f"{folder}/vmdedup-a-b.console",
        **more,
    }
    words = yaml.safe_load((role / "vars" / "main.yml").read_text())["guests_words"]
    templates = jinja2.Environment(undefined=jinja2.StrictUndefined)
    assert run_command([templates.from_string(word).render(variables) for word in words]) == 0
    return ET.fromstring(capsys.readouterr().out)


IMAGE = {
    "format": 1,
    "name": "debian",
    "kernel": "kernel",
    "initrd": "initrd",
    "disk": "root.raw",
    "ssh_key": None,
    "cmdline": "console=ttyS0",
    "name_argument": "vmdedup.name=",
    "ready": "up",
    "memory_mib": 64,
    "digest": "0",
}


def adapter(folder: Path, accel: str = "tcg", sharing: bool = True, disk: bool = True) -> ET.Element:
    """The domain that the libvirt adapter makes of the same guest."""
    spec = DomainSpec(
        name="a-b",
        mark=Mark("a", 12, 34, "debian"),
        memory_mib=192,
        kernel=folder / "kernel",
        initrd=folder / "initrd",
        cmdline="console=ttyS0 vmdedup.name=vmdedup-a-b",
        console=folder / "vmdedup-a-b.console",
        accel=accel,
        sharing=sharing,
        disk=folder / "vmdedup-a-b.qcow2" if disk else None,
        ssh_port=2201,
    )
    return ET.fromstring(to_xml(spec))


@pytest.mark.parametrize("accel", ["tcg", "kvm"])
@pytest.mark.parametrize("sharing", [True, False])
@pytest.mark.parametrize("disk", [True, False])
def test_the_role_defines_what_the_adapter_makes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], accel: str, sharing: bool, disk: bool
) -> None:
    """So that results do not depend on the way, and one way finds what the other has left."""
    (tmp_path / "image.json").write_text(json.dumps(IMAGE | {"disk": "root.raw" if disk else None}))
    theirs = described(tmp_path, capsys, guests_accelerator=accel, guests_mergeable=sharing)
    assert ET.tostring(theirs) == ET.tostring(adapter(tmp_path, accel, sharing, disk))


def test_what_the_role_may_set_is_in_the_domain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "image.json").write_text(json.dumps(IMAGE))
    domain = described(tmp_path, capsys, guests_memory_mib=321, guests_processors=3, guests_translation_mib=7)
    assert [domain.findtext(tag) for tag in ("memory", "vcpu", "features/tcg/tb-cache")] == ["321", "3", "7"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["web"], "web: the name of a guest begins with vmdedup-"),
        (["vmdedup-a", "--accelerator", "abacus"], "--accelerator abacus: give kvm or tcg"),
        (["vmdedup-a", "--image", "/no/such"], "/no/such is no built image; run: vmdedup image build such"),
        (["vmdedup-a"], "image debian has a disk; give the guest's own with --overlay"),
    ],
)
def test_a_domain_that_cannot_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    (tmp_path / "image.json").write_text(json.dumps(IMAGE))
    image = [] if "--image" in words else ["--image", str(tmp_path)]
    assert run_command(["live", "domain", *words, *image, "--memory-mib", "64", "--console", "/c"]) == 2
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", f"vmdedup: {said}\n")
