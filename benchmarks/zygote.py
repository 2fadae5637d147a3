"""A browser as a phone: tabs come from one zygote, as apps do. What they share, and a recording to be lived again.

    sudo python -m benchmarks.zygote
    sudo python -m benchmarks.zygote --keep runs/zygote --steps 30 --document docs/phones.md

Chromium, headless, opens pages that keep objects, draw, and change what they keep while they are in front; the user
opens tabs, leaves them, comes back to them and closes some. The zygote and its tabs are recorded as one system, which
tab is in front said by oom_score_adj, as Android says it. With --keep there are phone-real.rec and the scenario
phone-real.toml afterwards, and what the folder has is not done again; with --document every policy for phones lives
it, and a page says what came of it. Root, and Debian's package chromium.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.zygote_page import HELD, RECORDING, SCENARIO, write_page
from vmdedup.dump.processes import descendants
from vmdedup.errors import EnvironmentLacksError, VmdedupError
from vmdedup.recording.reader import Recording
from vmdedup.recording.record import record
from vmdedup.recording.sources import find_sources
from vmdedup.scan import scan_dumps

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 30.0  # seconds for the browser to come up, or a tab
FRONT, LEFT = 0, 900  # oom_score_adj
# What the user does at each step: opens the tab of that number, or comes back to it; -n closes tab n. Then it rests.
SCRIPT = (1, 0, 2, 0, 3, 0, 1, 0, 4, 0, 2, 0, -3, 5, 0, 1, 0, 6, 0, 4, 0, -2, 5, 0, 3, 0, 1, 0)
# An app: objects kept, text shown, a picture drawn; while it is in front some of that changes ten times a second.
APP = """<!doctype html><title>{number}</title><canvas width=600 height=400></canvas><div></div><script>
const kept = [], canvas = document.querySelector("canvas").getContext("2d"), text = document.querySelector("div");
for (let at = 0; at < 60000 + 15000 * {number}; at++)
  kept.push({{id: at, app: {number}, name: "item " + at, tags: ["a" + at % 7, "b" + at % 11], value: Math.random()}});
for (let at = 0; at < 300; at++)
  text.append(Object.assign(document.createElement("p"), {{textContent: "app {number} says " + kept[at].name}}));
setInterval(() => {{
  if (document.visibilityState !== "visible") return;
  for (let at = 0; at < 500; at++) kept[(at * 37 + Date.now()) % 20000].value = Math.random();
  canvas.fillStyle = `hsl(${{Date.now() / 20 % 360}} 80% 60%)`;
  canvas.fillRect(Math.random() * 600, Math.random() * 400, 80, 60);
}}, 100);
</script>"""
SCENARIO_TEXT = """title = "a browser's zygote and its tabs"
duration = "{seconds}s"
seed = 1

[host]
huge_pages = "never"

[ksm]
run = 1
pages_to_scan = 100
use_zero_pages = 1

[[guests]]
name = "phone"
replay = "phone-real.rec"
guest = "phone"
speed = {speed:.2f}  # so that a step takes as long as it was meant to
"""


class Browser:
    """Chromium, running. zygote: whose children the tabs are. pids: of tabs, by number."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process, self._folder = process, folder
        self.pids: dict[int, int] = {}
        self._targets: dict[int, str] = {}
        port = folder / "profile" / "DevToolsActivePort"
        self._wait(lambda: port.exists() and port.read_text().count("\n") >= 1, "does not listen")
        self._port = int(port.read_text().split()[0])
        self.zygote = self._wait(self._find_zygote, "forks no tab")

    def _find_zygote(self) -> int:
        """The process of which renderers are children."""
        for pid in descendants(self.process.pid):
            if b"--type=zygote" in _arguments(pid) and any(self._is_tab(child) for child in descendants(pid)[1:]):
                return pid
        return 0

    def _is_tab(self, pid: int) -> bool:
        return b"--type=renderer" in _arguments(pid)

    def tabs(self) -> set[int]:
        """Processes of tabs."""
        return {pid for pid in descendants(self.zygote) if self._is_tab(pid)}

    def act(self, number: int) -> None:
        """Open the tab of this number, come back to it, or (negative) close it; 0: nothing."""
        if number < 0:
            self._ask("close", self._targets.pop(-number))
            self.pids.pop(-number, None)
        elif number and number not in self._targets:
            self._open(number)
        elif number:
            self._ask("activate", self._targets[number])
        if number > 0:
            self._say_who_is_in_front(number)

    def _open(self, number: int) -> None:
        before, page = self.tabs(), self._folder / f"app{number}.html"
        page.write_text(APP.format(number=number))
        self._targets[number] = json.loads(self._ask("new", page.as_uri(), "PUT"))["id"]
        self.pids[number] = self._wait(lambda: max(self.tabs() - before, default=0), "opens no tab")

    def _say_who_is_in_front(self, number: int) -> None:
        for pid in self.tabs():
            _adjust(pid, FRONT if pid == self.pids[number] else LEFT)

    def _ask(self, what: str, about: str, method: str = "GET") -> str:
        between = "?" if what == "new" else "/"
        url = f"http://127.0.0.1:{self._port}/json/{what}{between}{about}"
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=PATIENCE) as answer:
            return str(answer.read(), "utf-8")

    def _wait(self, found: Any, complaint: str) -> Any:
        end = time.monotonic() + PATIENCE
        while not (value := found()):
            if time.monotonic() > end or self.process.poll() is not None:
                raise EnvironmentLacksError(f"chromium {complaint}; start it by hand to see why")
            time.sleep(0.05)
        return value


def _arguments(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b" ", b"\0").split(b"\0")
    except OSError:
        return []  # it has ended


def _adjust(pid: int, score: int) -> None:
    with suppress(OSError):  # it has ended
        Path(f"/proc/{pid}/oom_score_adj").write_text(str(score))


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium with one empty tab; it ends with the block. EnvironmentLacksError: there is none."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        raise EnvironmentLacksError("there is no Chromium; apt-get install chromium")
    if os.geteuid():
        raise EnvironmentLacksError("only root sees which frames processes share; run as root")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        options = [
            "--headless=new",
            "--no-sandbox",
            "--remote-debugging-port=0",
            f"--user-data-dir={folder / 'profile'}",
        ]
        options += ["--disable-gpu", "--no-first-run", "--disable-features=SpareRendererForSitePerProcess"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen([program, *options, "about:blank"], **quiet)  # type: ignore[call-overload]
        try:
            yield Browser(process, folder)
        finally:
            process.terminate()
            process.wait()


def live(path: Path, interval: float, steps: int) -> dict[str, Any]:
    """Record the script; with its last tabs open, say what all of the browser holds."""
    with browser() as running:

        def act(step: int, name: str) -> None:
            running.act(SCRIPT[step % len(SCRIPT)])

        sources = find_sources([f"phone=pid:{running.zygote}:tree"])
        record(sources, path, round(interval * 1e9), steps, pause=True, watch=act, force=True)
        return scan_dumps(
            [f"browser=pid:{running.process.pid}:tree", f"tabs=pid:{running.zygote}:tree"], top=0
        ).document


def keep(folder: Path, interval: float, steps: int) -> None:
    """Record, and write the scenario, and what the browser held."""
    held = live(folder / RECORDING, interval, steps)
    with Recording(folder / RECORDING) as recording:
        took = recording.steps[-1].time_ns / 1e9
    scenario = SCENARIO_TEXT.format(
        seconds=round(interval * steps), speed=max(1.0, took / interval / max(1, steps - 1))
    )
    (folder / SCENARIO).write_text(scenario)
    (folder / HELD).write_text(json.dumps(held))


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser("benchmarks.zygote", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--steps", type=int, default=len(SCRIPT), help="snapshots")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds between them")
    parser.add_argument("--keep", type=Path, help="folder for phone-real.rec and phone-real.toml")
    parser.add_argument("--document", type=Path, help="the page to write; without it figures are printed")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            if not (folder / HELD).exists():
                keep(folder, given.interval, given.steps)
            write_page(folder, given.document)
        except VmdedupError as error:
            sys.stderr.write(f"zygote: {error}\n")
            return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
