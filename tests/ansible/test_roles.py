"""The playbooks and roles as they stand: lint, syntax, documented defaults, a verification each."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from vmdedup.live.provision.inventory import inventory, save_inventory
from vmdedup.live.provision.plan import PROGRAMS, GuestPlan, RunPlan
from vmdedup.live.provision.playbook import playbook_folder

FOLDER = playbook_folder()
ROLES = sorted(path for path in (FOLDER / "roles").iterdir() if path.is_dir())
BOOKS = sorted(path.stem for path in (FOLDER / "playbooks").glob("*.yml"))
BIN = Path(sys.executable).parent

pytestmark = pytest.mark.skipif(
    not (BIN / "ansible-playbook").exists(), reason="Ansible is missing; pip install 'vmdedup[ansible]'"
)


def call(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a program of Ansible in the folder ansible/, everything that it writes going to `folder`."""
    environment = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_HOME": str(folder / "home"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "PYTHONWARNINGS": "ignore",
        "NO_COLOR": "1",
    }
    return subprocess.run(command, cwd=FOLDER, env=environment, capture_output=True, text=True)


@cache
def read(path: Path) -> Any:
    """A YAML file, by Ansible's own Python: none of ours reads YAML."""
    code = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def small_plan() -> RunPlan:
    """Two guests."""
    guests = tuple(
        GuestPlan(f"vm-{n}", "vm", f"vmdedup-s-vm-{n}", "tiny", 128, "idle", {}, 2200 + n, sharing=False)
        for n in range(2)
    )
    return RunPlan("s", 1, guests, {"run": "1"}, 5.0, 1.0)


@pytest.mark.slow
def test_lint_has_nothing_to_say(tmp_path: Path) -> None:
    done = call(tmp_path, "ansible-lint", "--offline", "--strict")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "production" in done.stderr


def test_lint_is_asked_for_the_strictest_profile() -> None:
    assert read(FOLDER / ".ansible-lint")["profile"] == "production"


def test_every_playbook_can_be_read(tmp_path: Path) -> None:
    where = save_inventory(inventory(small_plan(), tmp_path, tmp_path), tmp_path)
    books = [f"playbooks/{name}.yml" for name in BOOKS]
    done = call(tmp_path, "ansible-playbook", "-i", str(where), "--syntax-check", *books)
    assert done.returncode == 0, done.stdout + done.stderr


def test_site_plays_everything_in_order() -> None:
    books = [play["ansible.builtin.import_playbook"] for play in read(FOLDER / "playbooks" / "site.yml")]
    assert books == [f"{n}.yml" for n in ("prepare", "images", "guests", "workload", "measure", "collect", "teardown")]


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_roles_document_what_can_be_set(role: Path) -> None:
    """Each default has its line in the argument specification, which Ansible itself checks, and a comment."""
    defaults = read(role / "defaults" / "main.yml")
    specs = read(role / "meta" / "argument_specs.yml")["argument_specs"]
    assert set(specs["main"]["options"]) == set(defaults)
    for entry in specs.values():
        assert entry["short_description"]
        assert all(option["description"] for option in entry["options"].values())
        assert set(entry["options"]) <= set(defaults)
    assert all(name.startswith(f"{role.name}_") for name in defaults)
    assert (role / "defaults" / "main.yml").read_text().count("\n# ") >= 1


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_roles_can_be_verified(role: Path) -> None:
    """tasks/verify.yml changes nothing, has a specification of its own, and the playbook verify plays it."""
    tasks = read(role / "tasks" / "verify.yml")
    assert tasks
    for task in tasks:
        assert task.get("changed_when") is False or "ansible.builtin.assert" in task, task["name"]
    assert "verify" in read(role / "meta" / "argument_specs.yml")["argument_specs"]
    included = [
        task["ansible.builtin.include_role"]
        for play in read(FOLDER / "playbooks" / "verify.yml")
        for task in play["tasks"]
    ]
    assert {"name": role.name, "tasks_from": "verify"} == {
        key: value for each in included if each["name"] == role.name for key, value in each.items() if key != "apply"
    }


def program(name: str) -> Path:
    """The program of a workload."""
    return FOLDER / "roles" / "workload" / "files" / name


PYTHON_PROGRAMS = sorted(name for name in PROGRAMS if "python" in program(name).read_text().splitlines()[0])


def test_every_workload_has_a_program() -> None:
    assert {path.name for path in program("").iterdir()} == set(PROGRAMS)
    assert sorted(set(PROGRAMS) - set(PYTHON_PROGRAMS)) == ["boot", "idle"]
    choices = read(FOLDER / "roles" / "workload" / "meta" / "argument_specs.yml")["argument_specs"]["main"]["options"]
    assert choices["workload_name"]["choices"] == sorted(PROGRAMS)


@pytest.mark.parametrize("name", ["boot", "idle"])
def test_a_program_that_does_nothing_says_first_that_it_is_ready(name: str) -> None:
    with subprocess.Popen(["sh", program(name)], stdout=subprocess.PIPE, text=True, start_new_session=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        os.killpg(running.pid, signal.SIGKILL)


@pytest.mark.parametrize("name", PYTHON_PROGRAMS)
def test_a_program_says_that_it_is_ready_once_and_before_it_works(name: str) -> None:
    """In main(), in no loop; the last thing there is the loop in which it works until it is killed."""
    main = functions(name)["main"]
    says = [call_of(statement) == "print" and "'ready'" in ast.unparse(statement) for statement in main.body]
    loops = [isinstance(statement, ast.While) and ast.unparse(statement.test) == "True" for statement in main.body]
    assert (says.count(True), loops.count(True)) == (1, 1)
    assert says.index(True) < loops.index(True) == len(main.body) - 1
    assert "flush=True" in ast.unparse(main.body[says.index(True)])


@pytest.mark.parametrize("name", PYTHON_PROGRAMS)
def test_a_program_takes_the_parameters_that_plans_pass_and_no_others(name: str) -> None:
    """They are taken from `given`, the words KEY=VALUE; the seed is every guest's own."""
    taken = [
        ast.literal_eval(node.args[0])
        for node in ast.walk(functions(name)["main"])
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "given.get"
    ]
    assert sorted(taken) == sorted({*PROGRAMS[name], *({"seed"} & set(taken))})
    assert ("seed" in taken) == (name != "build"), "what build does is the same in all guests"


def functions(name: str) -> dict[str, ast.FunctionDef]:
    """The functions of a program."""
    tree = ast.parse(program(name).read_text())
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def call_of(statement: ast.stmt) -> str:
    """What a statement calls; nothing if it is no call."""
    is_call = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
    return ast.unparse(statement.value.func) if is_call else ""  # type: ignore[attr-defined]


def test_variables_of_the_inventory_are_those_of_roles(tmp_path: Path) -> None:
    known = {name for role in ROLES for name in read(role / "defaults" / "main.yml")}
    document = inventory(small_plan(), tmp_path, tmp_path)["all"]
    places = [document["vars"], document["children"]["guests"]["vars"]]
    places += list(document["children"]["guests"]["hosts"].values())
    names = {name for place in places for name in place if not name.startswith("ansible_")}
    assert names - known == {"vmdedup_directory"}


def test_arguments_are_checked_by_ansible_itself(tmp_path: Path) -> None:
    """A guest whose accelerator does not exist is refused before anything is done."""
    document = inventory(small_plan(), tmp_path, tmp_path)
    document["all"]["children"]["guests"]["vars"]["guests_accelerator"] = "abacus"
    where = save_inventory(document, tmp_path)
    done = call(tmp_path, "ansible-playbook", "-i", str(where), "playbooks/guests.yml")
    assert done.returncode != 0
    assert "abacus" in done.stdout
    assert "Define the domain" not in done.stdout


def test_the_folder_is_found_in_a_wheel_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vmdedup.live.provision import playbook

    place = tmp_path / "site-packages" / "vmdedup"
    (place / "share").mkdir(parents=True)
    shutil.copytree(FOLDER, place / "share" / "ansible")
    monkeypatch.setattr(playbook, "__file__", str(place / "live" / "provision" / "playbook.py"))
    assert playbook_folder() == place / "share" / "ansible"
