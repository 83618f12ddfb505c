"""A headless Chromium that opens pages: no library, no download, no request to anywhere else."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # pages are ours, and containers have no other
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--hide-scrollbars",
    "--no-first-run",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # what a page asks for is seen, and never fetched
    "--remote-debugging-pipe",
    "about:blank",
)
PATIENCE = 60.0
"""Seconds in which any command is answered."""


class Browser:
    """Chromium with one tab, driven over two pipes by messages of the DevTools protocol."""

    def __init__(self, program: str, profile: Path) -> None:
        read, self._write = _pipe()
        self._read, write = _pipe()
        self._log = os.open(profile / "log.txt", os.O_CREAT | os.O_WRONLY)
        self._process = os.posix_spawn(
            program,
            [program, f"--user-data-dir={profile}", *OPTIONS],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, read, 3),  # Chromium reads from 3 and writes to 4
                (os.POSIX_SPAWN_DUP2, write, 4),
                (os.POSIX_SPAWN_DUP2, self._log, 1),
                (os.POSIX_SPAWN_DUP2, self._log, 2),
            ],
        )
        os.close(read)
        os.close(write)
        self._buffer, self._number = b"", 0
        self._session: dict[str, str] = {}
        self.events: list[dict[str, Any]] = []
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def close(self) -> None:
        """End the process."""
        self._session = {}
        try:
            self.send("Browser.close")
        except ConnectionError:
            os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        for file in (self._read, self._write, self._log):
            os.close(file)

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and wait for its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters, **self._session}
        _write_all(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer}"
                return answer["result"]
            self.events.append(answer)

    def _receive(self) -> dict[str, Any]:
        until = time.monotonic() + PATIENCE
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(until - time.monotonic(), 0.0))
            part = os.read(self._read, 1 << 20) if ready else b""
            if not part:
                raise ConnectionError("Chromium does not answer")
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def look(self, width: int = 800, scheme: str = "light", media: str = "screen") -> None:
        """Choose the width of the window in CSS pixels, the colours and the medium."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=False,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.send("Emulation.setEmulatedMedia", media=media, features=features)

    def open(self, page: Path) -> None:
        """Load a page and all that it shows."""
        self.events.clear()
        self.send("Page.navigate", url=page.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive())

    def run(self, script: str) -> Any:
        """The value of an expression of JavaScript in the page, as JSON knows it."""
        result = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def requests(self) -> list[str]:
        """Addresses that the page has asked for, but for data that it carries."""
        urls = [
            event["params"]["request"]["url"]
            for event in self.events
            if event["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in urls if not url.startswith("data:")]

    def complaints(self) -> list[str]:
        """Exceptions, errors and warnings of the console since the page was opened."""
        return [
            json.dumps(event["params"])
            for event in self.events
            if event["method"] == "Runtime.exceptionThrown"
            or event["params"].get("type") in ("error", "warning")
            or event["params"].get("entry", {}).get("level") in ("error", "warning")
        ]

    def print_page(self, scheme: str = "light") -> bytes:
        """The page on A4 paper as PDF, without backgrounds, as browsers print."""
        self.look(scheme=scheme, media="")
        answer = self.send("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)
        return base64.b64decode(answer["data"])


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The browser that MADMINER_CHROMIUM names, or the first that is found."""
    given = os.environ.get("MADMINER_CHROMIUM")
    names = PROGRAMS if given is None else (given,)
    program = next(filter(None, map(shutil.which, names)), None)
    if os.name != "posix" or program is None:
        pytest.skip(f"needs Chromium, and there is none of {', '.join(names)} (MADMINER_CHROMIUM)")
    try:
        browser = Browser(program, tmp_path_factory.mktemp("chromium"))
    except ConnectionError:
        if given is not None:
            raise
        pytest.skip(f"{program} does not start; name another one by MADMINER_CHROMIUM")
    yield browser
    browser.close()


def _pipe() -> tuple[int, int]:
    """Both ends of a pipe, out of the way of the numbers that Chromium takes."""
    import fcntl  # which Windows lacks

    ends = os.pipe()
    moved = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return moved[0], moved[1]


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
