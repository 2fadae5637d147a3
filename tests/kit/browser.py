"""A real browser, without a window, driven over pipes: what a page shows, what it complains of, how it looks.

Source: Chrome DevTools Protocol, https://chromedevtools.github.io/devtools-protocol/ (--remote-debugging-pipe).
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 60.0  # seconds


def need_browser() -> str:
    """The program; skips where there is none."""
    for program in PROGRAMS:
        if found := shutil.which(program):
            return found
    pytest.skip("no browser: install Debian's package chromium")


class Browser:
    """One tab. complaints: console errors, exceptions, and what a page tried to load."""

    def __init__(self, home: Path) -> None:
        """home: a folder of its own."""
        here, there = os.pipe(), os.pipe()  # commands; answers
        command = [need_browser(), "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
        command += ["--no-first-run", "--disable-extensions", f"--user-data-dir={home}", "about:blank"]

        def arrange() -> None:
            one, two = os.dup(here[0]), os.dup(there[1])
            os.dup2(one, 3)
            os.dup2(two, 4)

        self._process = subprocess.Popen(
            command,
            pass_fds=(3, 4, here[0], there[1]),
            preexec_fn=arrange,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(here[0])
        os.close(there[1])
        self._out, self._in = here[1], there[0]
        self._rest = b""
        self._number = self._loaded = 0
        self._session = ""
        self.complaints: list[str] = []
        targets = self._ask("Target.getTargets")["targetInfos"]
        tab = next(target["targetId"] for target in targets if target["type"] == "page")
        self._session = self._ask("Target.attachToTarget", targetId=tab, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable")

    def open(self, path: Path, width: int = 1600, dark: bool = False, scripts: bool = True, part: str = "") -> None:
        """A file, in a window so wide. part: of the address, from # on."""
        self.complaints.clear()
        self._ask("Emulation.setScriptExecutionDisabled", value=not scripts)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[scheme])
        self._ask("Emulation.setDeviceMetricsOverride", width=width, height=1000, deviceScaleFactor=1, mobile=False)
        self._ask("Page.navigate", url="about:blank")
        self._ask("Page.getFrameTree")
        self._loaded = 0
        self._ask("Page.navigate", url=f"file://{path.resolve()}{part}")
        deadline = time.monotonic() + PATIENCE
        while not self._loaded:
            self._ask("Page.getFrameTree")
            assert time.monotonic() < deadline, "the page is never complete"
            time.sleep(0.05)

    def value(self, expression: str) -> Any:
        """What a script's expression is."""
        answer = self._ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until it is true: what a page does of itself comes after what it was told."""
        deadline = time.monotonic() + PATIENCE
        while not self.value(expression):
            assert time.monotonic() < deadline, f"it is never so: {expression}"
            time.sleep(0.05)

    def text(self) -> str:
        """All text of the page, scripts or none."""
        root = self._ask("DOM.getDocument", depth=-1)["root"]["nodeId"]
        return str(self._ask("DOM.getOuterHTML", nodeId=root)["outerHTML"])

    def press(self, key: str) -> None:
        """A key."""
        for kind in ("keyDown", "keyUp"):
            self._ask("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def picture(self, path: Path, whole: bool = True) -> None:
        """The page as a PNG."""
        data = self._ask("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def close(self) -> None:
        """End it."""
        os.close(self._out)
        os.close(self._in)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            more = os.read(self._in, 1 << 20)
            assert more, "the browser has ended"
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def _note(self, message: dict[str, Any]) -> None:
        method, details = message.get("method"), message.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded += 1
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(details["exceptionDetails"]))
        elif method == "Log.entryAdded" and details["entry"]["level"] in ("error", "warning"):
            self.complaints.append(details["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and details["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(details["args"]))
        elif method == "Network.requestWillBeSent":
            url = details["request"]["url"]
            if not url.startswith(("file:", "data:", "about:")):
                self.complaints.append(f"asked for {url}")
