"""Programs as Debian ships them, on an emulated host: they read and drive it, and find nothing odd.

Each skips where its package is not installed; nothing of this machine's own KSM changes.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kit.shown_hosts import ONE, call, host_tunables, mounted, needs_answers, needs_namespaces, write
from kit.sockets import free_port
from vmdedup.policy.controllers.ksmtuned_law import KsmtunedLaw
from vmdedup.policy.controllers.readings import Readings, Setting

pytestmark = [needs_answers, needs_namespaces]
EXEC_KSM = Path("/usr/share/doc/collectd-core/examples/exec-ksm.sh")  # of the package collectd-core
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    before = host_tunables()
    yield
    assert host_tunables() == before, "the machine's own KSM was written to"


def needs(program: str, package: str) -> None:
    if shutil.which(program, path=PATH) is None:
        pytest.skip(f"{program} is not installed (Debian: {package})")


# ksmtuned

# Too little memory until ksmd has merged enough; then guests leave.
TUNED = ONE.replace("run = 1", "run = 0").replace("[host]\n", '[host]\nmemory = "5MiB"\n')
TUNED += '[[guests.events]]\nat = "26s"\ndo = "leave"\n'
STEP = re.compile(r"committed (?P<committed>\d+) free (?P<free>\d+)(?P<did>.*?)(?=committed|\Z)", re.S)


def configure(folder: Path) -> Path:
    """A configuration with which it looks every half second, on a host whose seconds are a fifth of a second."""
    conf = folder / "ksmtuned.conf"
    lines = {"MONITOR_INTERVAL": "0.4", "SLEEP_MSEC": 1, "THRES_COEF": 36, "THRES_CONST": 64}
    own = {"DEBUG": 1, "LOGFILE": folder / "log", "PIDFILE": folder / "pid"}
    conf.write_text("".join(f"{name}={value}\n" for name, value in own.items()))
    conf.write_text(conf.read_text() + "".join(f"KSM_{name}={value}\n" for name, value in lines.items()))
    return conf


def test_ksmtuned_climbs_and_decays_as_its_law_says_step_by_step(tmp_path: Path) -> None:
    needs("ksmtuned", "ksmtuned")
    script = f"mount --bind {configure(tmp_path)} /etc/ksmtuned.conf && exec ksmtuned"
    out = tmp_path / "out"
    done = call("exec", write(tmp_path, TUNED), "--speed", 5, "--duration", "38s", "-o", out, "--", "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    log = (tmp_path / "log").read_text()
    total = int(re.findall(r"total (\d+)", log)[0])
    assert total == 5 * 1024
    law, npages, written = KsmtunedLaw(sleep_msec=1, thres_coef=36, thres_const=64), 0, []
    for step in STEP.finditer(log):
        free, committed = int(step["free"]), int(step["committed"])
        setting, npages = law.adjust(Readings(total, free, committed, 0), committed, npages)
        assert said(step["did"]) == setting, step[0]
        written.append(setting)
    speeds = [setting.pages_to_scan for setting in written]
    assert speeds[:3] == [300, 600, 900], "it climbs by 300 while too little is free"
    decays = [one - two for one, two in pairwise(speeds) if one and two and two < one]
    assert len(decays) > 2
    assert set(decays) <= {50} | {max(speeds, key=lambda speed: speed or 0) or 0}
    assert not written[-1].run, "guests are gone: it stops ksmd"
    seen = pl.read_parquet(out / "series.parquet")
    assert set(seen["pages_to_scan"].to_list()) <= {1000, *speeds}
    assert {300, 900} <= set(seen["pages_to_scan"].to_list()), "the emulated ksmd has obeyed"
    assert seen["run"].to_list()[-1] == 0
    assert any(seen["pages_sharing"].to_list())


def said(did: str) -> Setting:
    """What it says that it has written."""
    if "stop ksm" in did:
        return Setting(run=False)
    pages, sleep = re.findall(r"KSMCTL start (\d+) (\d+)", did)[0]
    return Setting(True, int(pages), int(sleep))


# Programs that read, all in one host whose ksmd stands: pages_to_scan is 0

STILL = ONE.replace("pages_to_scan = 1000", "pages_to_scan = 100000")
READERS = """
K=/sys/kernel/mm/ksm
until [ $(cat $K/pages_sharing) -gt 0 ]; do sleep 0.05; done
echo 0 > $K/pages_to_scan; sleep 0.3
grep . $K/* > $OUT/files
atop -P MEM 1 1 > $OUT/atop
pminfo -L -f mem.ksm mem.physmem > $OUT/pcp 2>&1
COLLECTD_INTERVAL=1 timeout 2 bash %s > $OUT/collectd
grep . $K/* > $OUT/files-after
mkdir $OUT/virt
V="virsh -c qemu:///embed?root=$OUT/virt node-memory-tune"
$V > $OUT/virsh
$V --shm-merge-across-nodes 0 2> $OUT/virsh-refused; echo $? >> $OUT/virsh-refused
$V --shm-pages-to-scan 4321 --shm-sleep-millisecs 7
sleep 0.15
cat $K/pages_to_scan $K/sleep_millisecs > $OUT/virsh-wrote
"""


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what each has printed."""
    out = tmp_path_factory.mktemp("readers")
    done = call("exec", write(out, STILL), "--", "bash", "-c", READERS % EXEC_KSM, variables={"OUT": str(out)})
    assert (out / "files").read_text() == (out / "files-after").read_text(), done.stderr
    return out


def files(readers: Path) -> dict[str, str]:
    """The emulated host's, as they stood."""
    lines = (readers / "files").read_text().splitlines()
    return {Path(name).name: value for name, value in (line.split(":", 1) for line in lines)}


def test_virsh_reads_the_emulated_host(readers: Path) -> None:
    needs("virsh", "libvirt-clients, libvirt-daemon")
    told = dict(re.findall(r"^\tshm_(\w+)\s+(\d+)$", (readers / "virsh").read_text(), re.M))
    there = files(readers)
    assert len(told) == 8
    assert told == {name: there[name] for name in told}
    assert int(told["pages_sharing"]) > 0


def test_virsh_writes_within_a_tick_and_is_refused_while_pages_are_shared(readers: Path) -> None:
    needs("virsh", "libvirt-clients, libvirt-daemon")
    assert (readers / "virsh-wrote").read_text().split() == ["4321", "7"]
    refused = (readers / "virsh-refused").read_text()
    assert "failed to set shm_merge_across_nodes" in refused
    assert refused.splitlines()[-1] == "1"


def test_atop_shows_what_is_shared(readers: Path) -> None:
    """Its last but fields, of which later versions have more."""
    needs("atop", "atop")
    line = next(line for line in (readers / "atop").read_text().splitlines() if line.startswith("MEM"))
    there = files(readers)
    assert f" {there['pages_sharing']} {there['pages_shared']} " in line
    assert line.split()[7] == str(4096 // 4), "all memory, in pages"


def test_collectd_s_script_sends_what_is_shared(readers: Path) -> None:
    if not EXEC_KSM.exists():
        pytest.skip("collectd's exec-ksm.sh is not installed (Debian: collectd-core)")
    there = files(readers)
    told = dict(
        re.findall(r'PUTVAL "\S+/exec-ksm/vmpage_number-(\w+)" interval=1 N:(\d+)', (readers / "collectd").read_text())
    )
    names = {
        "shared": "pages_shared",
        "saved": "pages_sharing",
        "unshared": "pages_unshared",
        "volatile": "pages_volatile",
    }
    assert {name: there[file] for name, file in names.items()}.items() <= told.items()


def test_pcp_has_the_emulated_host_s_figures(readers: Path) -> None:
    """By its own agent for Linux, in pminfo's process. Not installed by tests.system, as it wants systemd."""
    needs("pminfo", "pcp")
    text = (readers / "pcp").read_text()
    if "PMNS not accessible" in text:
        pytest.skip("PCP's names are not built (/var/lib/pcp/pmns/Rebuild)")
    told = dict(re.findall(r"^mem\.(?:ksm\.)?(\w+)\n    value (\d+)", text, re.M))
    there = files(readers)
    assert int(told.pop("physmem")) == 4096
    assert told.pop("run_state") == there["run"]
    assert told.pop("sleep_time") == there["sleep_millisecs"]
    assert len(told) == 7
    assert told == {name: there[name] for name in told}


# node_exporter


def test_node_exporter_s_scrape_equals_our_status(tmp_path: Path) -> None:
    needs("prometheus-node-exporter", "prometheus-node-exporter")
    folder, port = tmp_path / "host", free_port()
    folder.mkdir()
    with mounted(write(tmp_path, STILL), folder):
        ksm = folder / "sys/kernel/mm/ksm"
        wait_for(lambda: int((ksm / "pages_sharing").read_text()) > 0)
        (ksm / "pages_to_scan").write_text("0")
        time.sleep(0.3)
        scraped = exported(folder, port)
        status = json.loads(call("status", "--root", folder, "--json").stdout)["ksm"]
    del scraped["sleep_seconds"]
    assert len(scraped) >= 8
    renamed = {name.removesuffix("_total").removesuffix("_bytes"): value for name, value in scraped.items()}
    assert renamed == {name: status[name] for name in renamed}
    assert status["pages_sharing"] > 0
    assert not list(folder.iterdir()), "it is unmounted"


def exported(folder: Path, port: int) -> dict[str, Any]:
    """What node_exporter makes of a host: its node_ksmd_… by the rest of their names."""
    paths = [f"--path.sysfs={folder}/sys", f"--path.procfs={folder}/proc"]
    command = ["prometheus-node-exporter", *paths, "--collector.disable-defaults", "--collector.ksmd"]
    command += [f"--web.listen-address=127.0.0.1:{port}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            text = wait_for(lambda: fetched(port))
        finally:
            process.terminate()
    return {name: float(value) for name, value in re.findall(r"^node_ksmd_(\w+) (\S+)$", text, re.M)}


def fetched(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
            return str(page.read().decode())
    except OSError:
        return ""


def wait_for(what: Any, seconds: float = 20) -> Any:
    """What it gives once it is true."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "nothing came of it"
        time.sleep(0.05)
    return found
