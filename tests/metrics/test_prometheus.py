"""`vmdedup serve` before a real Prometheus, of Debian's package: figures, dashboard, alert rules."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from kit.shown_hosts import ONE, PYTHON, call, command, write
from kit.sockets import free_port
from vmdedup.units import PAGE_SIZE

SHARE = files("vmdedup.metrics")
needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="prometheus is not installed (Debian: prometheus)",
)
# A row each tick, so that there is one of each moment that can be scraped.
EACH_TICK = ONE.replace('"200ms"', '"100ms"').replace('"never"', '"madvise"')


@contextmanager
def serving(*arguments: object) -> Iterator[str]:
    """`vmdedup serve` while it does: the page's address."""
    process = subprocess.Popen(
        command("serve", *arguments, "--listen", 0, "--json"),
        env={**os.environ, **PYTHON},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = "".join(iter(process.stdout.readline, "}\n")) + "}"
        yield json.loads(said)["url"]
    finally:
        process.terminate()
        process.communicate(timeout=30)


@contextmanager
def scraping(folder: Path, url: str) -> Iterator[str]:
    """A Prometheus that scrapes a page twice a second: its own address."""
    target, port = urllib.parse.urlsplit(url).netloc, free_port()
    configuration = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "400ms"},
        "scrape_configs": [{"job_name": "ksm", "static_configs": [{"targets": [target]}]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(configuration))  # JSON is YAML
    options = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb"]
    options += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    with subprocess.Popen(["prometheus", *options], cwd=folder) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def asked(prometheus: str, query: str) -> list[dict[str, Any]]:
    """What it answers; nothing while it does not answer yet."""
    where = f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
    try:
        with urllib.request.urlopen(where, timeout=5) as page:
            answer = json.loads(page.read())
    except urllib.error.HTTPError as error:
        if error.code != 503:
            pytest.fail(f"{query}: {error.read().decode()}")
        return []
    except OSError:
        return []
    assert answer["status"] == "success"
    return list(answer["data"]["result"])


def dashboard() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((SHARE / "grafana.json").read_text())
    return document


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """What a Prometheus knew after some seconds, by query, and the run's own rows."""
    folder = tmp_path_factory.mktemp("scraped")
    queries = {expression: expression for expression in EXPRESSIONS} | {name: f"{name}[1m]" for name in SERIES}
    arguments = (write(folder, EACH_TICK), "-o", folder / "run", "--matrix", "--possible")
    with serving(*arguments) as url, scraping(folder, url) as prometheus:
        until = time.monotonic() + 30
        while len(values(asked(prometheus, f"{SERIES[0]}[1m]"))) < 6 and time.monotonic() < until:
            time.sleep(0.2)
        found = {name: asked(prometheus, query) for name, query in queries.items()}
    return folder / "run", found


def values(result: list[dict[str, Any]]) -> dict[float, float]:
    """A series' values by their time."""
    return {at: float(value) for each in result[:1] for at, value in each["values"]}


SERIES = (
    "vmdedup_emulated_seconds_total",
    "node_ksmd_pages_sharing",
    "vmdedup_used_bytes",
    "vmdedup_if_all_diverge_bytes",
    "vmdedup_possible_bytes",
    "vmdedup_guest_allocated_bytes",
    "node_ksmd_full_scans_total",
    "node_ksmd_general_profit_bytes",
)
COLUMNS = ["time_s", "pages_sharing", "used_pages", "allocated_pages", "possible_pages", "allocated_pages"]
COLUMNS += ["full_scans", "general_profit"]
EXPRESSIONS = [
    target["expr"].replace("$instance", ".*").replace("$__rate_interval", "5s")
    for panel in dashboard()["panels"]
    for target in panel["targets"]
]


@needs_prometheus
def test_what_it_knows_is_what_the_run_says(answers: tuple[Path, dict[str, Any]]) -> None:
    """Each scrape is of one moment, and there is a row of that."""
    out, found = answers
    rows = {round(row["time_s"], 3): row for row in pl.read_parquet(out / "series.parquet").iter_rows(named=True)}
    times = values(found[SERIES[0]])
    assert len(times) >= 6
    assert len(set(times.values())) > 3, "the host's time goes on"
    for name, column in zip(SERIES[1:], COLUMNS[1:], strict=True):
        unit = PAGE_SIZE if column.endswith("_pages") else 1
        for at, value in values(found[name]).items():
            assert value == rows[round(times[at], 3)][column] * unit, (name, times[at])
    assert max(values(found["node_ksmd_pages_sharing"]).values()) > 0


@needs_prometheus
def test_each_line_of_the_dashboard_has_an_answer(answers: tuple[Path, dict[str, Any]]) -> None:
    """But for what real hosts alone tell."""
    _, found = answers
    empty = {expression for expression in EXPRESSIONS if not found[expression]}
    assert {re.findall(r"\w+", expression)[0] for expression in empty} <= {"vmdedup_process_merged_bytes"}
    assert len(EXPRESSIONS) > 15


@needs_prometheus
def test_alerts_fire_when_they_should_and_not_before(tmp_path: Path) -> None:
    """By promtool's own unit tests: minutes of made-up series."""
    (tmp_path / "ksm.yml").write_text((SHARE / "alerts.yml").read_text())
    labels = 'instance="host"'
    series = {
        f"node_ksmd_run{{{labels}}}": "1x120",
        f"node_ksmd_general_profit_bytes{{{labels}}}": "5x20 -7x100",
        f"vmdedup_ksmd_cpu_seconds_total{{{labels}}}": "0+12x20 240+48x100",
        f"node_ksmd_pages_sharing{{{labels}}}": "1000x60 600x60",
    }
    expected = {
        "KsmProfitNegative": {40: False, 52: True},
        "KsmdAtItsLimit": {20: False, 45: True},
        "KsmSharingCollapsing": {60: False, 64: True},
    }
    checks = [
        {"eval_time": f"{minute}m", "alertname": name, "exp_alerts": [alert(name)] if fires else []}
        for name, moments in expected.items()
        for minute, fires in moments.items()
    ]
    tests = {
        "rule_files": ["ksm.yml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": each} for name, each in series.items()],
                "alert_rule_test": checks,
            }
        ],
    }
    (tmp_path / "tests.json").write_text(json.dumps(tests))
    done = subprocess.run(["promtool", "test", "rules", "tests.json"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def alert(name: str) -> dict[str, Any]:
    """As promtool wants it: labels and texts."""
    texts = {
        "KsmProfitNegative": (
            "warning",
            "KSM costs more memory than it saves on host",
            "Its records take -7B more than merging saves. Turn it off (run=2 gives the records back), or let fewer "
            "processes be mergeable.",
        ),
        "KsmdAtItsLimit": (
            "warning",
            "ksmd takes 80% of a core on host",
            "That is as much as the kernel's advisor lets it have. Lower pages_to_scan, raise sleep_millisecs, or turn "
            "on smart_scan.",
        ),
        "KsmSharingCollapsing": (
            "critical",
            "Sharing collapses on host",
            "Less than 70 % is left of the pages that shared in the last half hour: guests have begun to differ, or "
            "have gone. If guests were promised more than there is, look at free memory and swap now.",
        ),
    }
    severity, summary, description = texts[name]
    labels = {"severity": severity, "instance": "host"}
    return {"exp_labels": labels, "exp_annotations": {"summary": summary, "description": description}}


def test_the_dashboard_and_the_rules_are_printed_and_name_what_there_is() -> None:
    from vmdedup.metrics.figures import METRICS

    for option, name in (("--dashboard", "grafana.json"), ("--alerts", "alerts.yml")):
        done = call("serve", option)
        assert done.stdout == (SHARE / name).read_text()
        assert set(re.findall(r"\b(?:vmdedup|node)_[A-Za-z_]+", done.stdout)) - {"node_exporter"} <= {*METRICS}


def test_a_real_host_is_read_and_never_written(tmp_path: Path) -> None:
    """A tree of plain files, which say after it what they said before; figures are theirs."""
    ksm = tmp_path / "sys/kernel/mm/ksm"
    ksm.mkdir(parents=True)
    texts = {"run": "1", "pages_sharing": "300", "pages_to_scan": "100", "full_scans": "2", "sleep_millisecs": "20"}
    for name, text in texts.items():
        (ksm / name).write_text(f"{text}\n")
    process = tmp_path / "proc/77"
    process.mkdir(parents=True)
    (process / "cmdline").write_text("qemu-system-x86_64\0-name\0guest=web,debug-threads=on\0")
    (process / "ksm_stat").write_text("ksm_merging_pages 25\nksm_process_profit -64\nksm_mergeable: yes\n")
    with serving("--root", tmp_path) as url:
        lines = page(url)
    assert lines["node_ksmd_pages_sharing"] == 300
    assert lines["node_ksmd_sleep_seconds"] == 0.02
    assert lines['vmdedup_process_merged_bytes{name="web",pid="77"}'] == 25 * PAGE_SIZE
    assert lines['vmdedup_process_profit_bytes{name="web",pid="77"}'] == -64
    assert {name: (ksm / name).read_text() for name in texts} == {name: f"{text}\n" for name, text in texts.items()}


def page(url: str) -> dict[str, float]:
    with urllib.request.urlopen(url, timeout=5) as opened:
        lines = opened.read().decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[:1] != "#")}


def test_what_cannot_be_served_is_one_line(tmp_path: Path) -> None:
    for arguments, status, said in (
        (("--listen", "nowhere"), 2, "--listen 'nowhere' is no address"),
        (("--root", tmp_path), 4, "has no files of KSM's"),
        (("--matrix",), 2, "this host is only read; name a SCENARIO"),
        (("--listen", "192.0.2.1:1"), 2, "192.0.2.1:1 cannot be listened at"),
    ):
        done = call("serve", *arguments)
        assert done.returncode == status
        assert done.stderr.count("\n") == 1
        assert said in done.stderr


def test_a_pass_is_timed_between_two_looks() -> None:
    from vmdedup.metrics.figures import PassTimer

    timer = PassTimer()
    looks = ((0.0, 5), (2.0, 5), (10.0, 7), (11.0, 7), (16.0, 8))
    told = [[figure.value for figure in timer.look(now, scans)] for now, scans in looks]
    assert told == [[], [], [5.0], [5.0], [6.0]]
