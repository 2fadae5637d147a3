"""How much memory a host gets here: control groups of both versions, and what is said where it is less than wanted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kit.small_runs import SMALL, write
from vmdedup.available import Available, available_memory
from vmdedup.cli import run_command
from vmdedup.errors import HostError
from vmdedup.result.opening import open_result
from vmdedup.run.room import host_room
from vmdedup.scenario.load import load_scenario
from vmdedup.scenario.overrides import Overrides

MIB = 1 << 20
PAIR = SMALL.replace("count = 3", "count = 2")
V1_NONE = 9223372036854771712  # what version 1 shows where there is no limit
V2 = "31 23 0:28 {top} /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "35 31 0:32 {top} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
V1 += "36 31 0:33 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"


class Fake:
    """A machine of files, of which 8 GiB are available."""

    def __init__(self, root: Path, group: str, mounts: str) -> None:
        self.root = root
        self.write("proc/meminfo", "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n")
        self.write("proc/self/cgroup", group)
        self.write("proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n" + mounts)

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def v2(self, group: str, limit: str, used: int = 0, inactive: int = 0) -> None:
        folder = f"sys/fs/cgroup/{group}"
        self.write(f"{folder}/memory.max", f"{limit}\n")
        self.write(f"{folder}/memory.current", f"{used}\n")
        self.write(f"{folder}/memory.stat", f"anon 1\ninactive_file {inactive}\nactive_file 7\n")

    def v1(self, group: str, limit: int, used: int = 0, inactive: int = 0, hierarchy: int = 1) -> None:
        folder = f"sys/fs/cgroup/memory/{group}"
        self.write(f"{folder}/memory.limit_in_bytes", f"{limit}\n")
        self.write(f"{folder}/memory.usage_in_bytes", f"{used}\n")
        self.write(f"{folder}/memory.stat", f"inactive_file 3\ntotal_inactive_file {inactive}\n")
        self.write(f"{folder}/memory.use_hierarchy", f"{hierarchy}\n")

    @property
    def found(self) -> Available:
        return available_memory(self.root)


def test_without_control_groups_the_machine_decides(tmp_path: Path) -> None:
    assert Fake(tmp_path, "", "").found == Available(8 << 30, "here")


def test_version_2_what_is_left_of_the_smallest_limit_above_us(tmp_path: Path) -> None:
    fake = Fake(tmp_path, "0::/user.slice/job.scope\n", V2.format(top="/"))
    fake.v2("user.slice/job.scope", "max", 100 * MIB)
    assert fake.found == Available(8 << 30, "here")
    fake.v2("user.slice", str(1024 * MIB), used=700 * MIB, inactive=200 * MIB)
    assert fake.found == Available(524 * MIB, "to control group /user.slice")
    fake.v2("user.slice/job.scope", str(600 * MIB), used=100 * MIB)
    assert fake.found == Available(500 * MIB, "to control group /user.slice/job.scope")
    fake.v2("user.slice/job.scope", str(64 * MIB), used=100 * MIB)
    assert fake.found.bytes == 0


def test_version_2_in_a_container_that_sees_its_own_group_as_the_root(tmp_path: Path) -> None:
    fake = Fake(tmp_path, "0::/\n", V2.format(top="/"))
    fake.v2("", str(256 * MIB), used=56 * MIB)
    assert fake.found == Available(200 * MIB, "to control group /")


def test_version_1_with_a_part_of_the_hierarchy_mounted(tmp_path: Path) -> None:
    fake = Fake(tmp_path, "4:cpu:/a\n3:memory:/docker/x/y\n0::/\n", V1.format(top="/docker/x"))
    fake.v1("y", V1_NONE, 10 * MIB)
    fake.v1("", 512 * MIB, used=300 * MIB, inactive=100 * MIB)
    assert fake.found == Available(312 * MIB, "to control group /docker/x")


def test_version_1_groups_above_that_do_not_count_those_below(tmp_path: Path) -> None:
    fake = Fake(tmp_path, "3:memory:/a/b\n", V1.format(top="/"))
    fake.v1("a/b", 900 * MIB)
    fake.v1("a", 100 * MIB, hierarchy=0)
    assert fake.found == Available(900 * MIB, "to control group /a/b")
    fake.v1("a", 100 * MIB, hierarchy=1)
    assert fake.found == Available(100 * MIB, "to control group /a")


def test_both_versions_at_once_and_a_group_that_is_not_to_be_seen(tmp_path: Path) -> None:
    fake = Fake(tmp_path, "3:memory:/elsewhere\n0::/../up\n", V1.format(top="/here") + V2.format(top="/"))
    fake.v1("", 400 * MIB)
    fake.v2("", str(300 * MIB))
    assert fake.found.bytes == 300 * MIB


def test_a_name_with_a_blank(tmp_path: Path) -> None:
    mounts = V2.format(top="/").replace("/sys/fs/cgroup", "/sys/fs/my\\040groups")
    fake = Fake(tmp_path, "0::/\n", mounts)
    fake.write("sys/fs/my groups/memory.max", "4096")
    fake.write("sys/fs/my groups/memory.current", "0")
    assert fake.found.bytes == 4096


def test_a_host_that_is_made_smaller_is_said_so_with_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(write(tmp_path, PAIR))
    monkeypatch.setattr("vmdedup.run.room.available_memory", lambda: Available(17 * MIB))
    assert host_room(load_scenario(path), Available(18 * MIB)).note is None
    assert run_command(["scenario", "check", path]) == 0
    said = capsys.readouterr().out
    assert "the guests have 16MiB, the host only 15.3MiB: 17MiB are available here" in said
    assert 'write memory = "15MiB" or less' in said
    assert run_command(["run", path, "--duration", "1s", "-q", "-o", str(tmp_path / "out")]) == 0
    assert "host      15.3 MiB, though its guests have 16.0 MiB: only 17.0 MiB were" in capsys.readouterr().out
    host = {"guests_bytes": 16 * MIB, "host_bytes": 3916 * 4096, "available_bytes": 17 * MIB, "capped": True}
    assert json.loads((tmp_path / "out/run.json").read_text())["host"] == host
    assert open_result(tmp_path / "out").summary["host"]["capped"]


def test_one_that_is_full_at_once_is_said_to_have_been_made_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(write(tmp_path, PAIR))
    monkeypatch.setattr("vmdedup.run.room.available_memory", lambda: Available(10 * MIB))
    assert run_command(["run", path, "--duration", "1s", "-q", "-o", str(tmp_path / "one")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "is killed: " in said
    assert " of page tables; the guests have 16MiB, the host only 9MiB: 10MiB are available here" in said
    monkeypatch.setattr("vmdedup.run.room.available_memory", lambda: Available(3 * MIB))
    assert run_command(["run", path, "-q", "-o", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "host memory is exhausted" in said
    assert "; the guests have 16MiB, the host only 2.69" in said
    assert ": 3MiB are available here" in said


def test_check_refuses_what_run_refuses_with_a_remedy_that_helps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(write(tmp_path, PAIR + '[host]\nmemory = "64TiB"\n'))
    for command in (["scenario", "check", path], ["run", path, "-q", "-o", str(tmp_path / "out")]):
        assert run_command(command) == HostError.exit_status
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "has 64TiB of memory, but only" in said
    possible = said.split("[host] memory, ")[1].split(" at most")[0]
    scenario = load_scenario(write(tmp_path, PAIR + f'[host]\nmemory = "{possible}"\n'))
    assert host_room(scenario).note is None
    assert not (tmp_path / "out").exists()


def test_guests_whose_pages_cannot_even_be_kept_account_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(write(tmp_path, PAIR))
    assert run_command(["run", path, "--memory", "64TiB", "-q", "-o", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "keeping account of their pages alone takes" in said
    assert "run fewer or smaller guests, at most" in said
    scenario = load_scenario(path, Overrides(memory="1GiB"))
    with pytest.raises(HostError, match="at most 4096MiB together"):
        host_room(scenario.model_copy(update={"guests": scenario.guests * 3}), Available(64 * MIB))


@pytest.mark.parametrize("limit", [1500 * MIB, 2500 * MIB, 4000 * MIB])
def test_a_limit_of_address_space_is_one_line(tmp_path: Path, limit: int) -> None:
    """Wherever it strikes first: in the parent, in ksmd, in a guest."""
    words = [sys.executable, "-m", "vmdedup", "run", str(write(tmp_path, PAIR)), "--memory", "4GiB", "--duration", "1s"]
    code = f"import os, resource as r; r.setrlimit(r.RLIMIT_AS, ({limit},) * 2); os.execv({words[0]!r}, {words!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 1), done.stderr
    assert done.returncode == 0 or "vmdedup: " in done.stderr.splitlines()[-1]
