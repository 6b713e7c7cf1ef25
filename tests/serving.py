"""Servers in processes of their own."""

from __future__ import annotations

import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from base44_web.testing import CALENDAR_ID, Emulator

ROOT: Final = Path(__file__).parent.parent
COMPLAINTS: Final = (
    "ResourceWarning", "Event loop is closed", "never awaited", "Traceback", "was destroyed but", "unclosed",
)  # fmt: skip
_UVICORN = ["-m", "uvicorn", "tests.apps.served:app", "--port", "{port}", "--log-level", "warning"]
_GUNICORN = ["-m", "gunicorn", "tests.apps.served:app", "-b", "127.0.0.1:{port}", "-w", "2", "--log-level", "warning"]
# Its workers can lock up as they are told to end: https://github.com/emmett-framework/granian/issues/875.
_GRANIAN = ["--port", "{port}", "tests.apps.served:app", "--no-log", "--workers-kill-timeout", "10"]
SERVERS: Final = {
    "uvicorn": _UVICORN,
    "uvicorn-no-lifespan": [*_UVICORN, "--lifespan", "off"],
    "uvicorn-asyncio": [*_UVICORN, "--loop", "asyncio"],
    "granian": ["-m", "granian", "--interface", "asgi", *_GRANIAN],
    "granian-wsgi": ["-m", "granian", "--interface", "wsgi", *_GRANIAN],
    "hypercorn": ["-m", "hypercorn", "tests.apps.served:app", "--bind", "127.0.0.1:{port}"],
    "gunicorn": _GUNICORN,
    "gunicorn-threads": [*_GUNICORN, "--threads", "4"],
    "gunicorn-preload": [*_GUNICORN, "--preload"],
}
# How long a busy machine may take over what a quick one does at once.
PATIENCE: Final = 60.0


def eventually(condition: Any) -> bool:
    """Whether something comes true."""
    for _ in range(int(PATIENCE / 0.02)):
        if condition():
            return True
        time.sleep(0.02)
    return False


# Below those that the system gives away by itself, which another test could get before the server has its own.
_FIRST: Final = 10_000 + 1000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_PORTS: Final = itertools.cycle(random.sample(range(_FIRST, _FIRST + 1000), 1000))


def free_port() -> int:
    """A port of this worker's, which nobody listens on."""
    for port in itertools.islice(_PORTS, 1000):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def needs(server: str, driver: str) -> None:
    pytest.importorskip(server.partition("-")[0])
    pytest.importorskip(driver.partition("-")[0])


def app_environment(emulator: Emulator, url: str, driver: str) -> dict[str, str]:
    return {
        "TEST_DRIVER": driver, "BASE44_CONNECTION_TTL": "0", "BASE44_APP_ID": emulator.app_id, "BASE44_SERVER_URL": url,
        "BASE44_SERVICE_TOKEN": emulator.service_token, "BASE44_APP_USER_CONNECTORS": f"calendar={CALENDAR_ID}",
    }  # fmt: skip


@contextmanager
def started(
    command: list[str], folder: Path, environment: dict[str, str], port: int, output: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A server that takes connections, until the block ends; nothing of it is left then."""
    with output.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=folder, stdout=log, stderr=log, start_new_session=True, env=environment
        )
    try:
        assert eventually(lambda: process.poll() is not None or _listens(port)), output.read_text()
        assert process.poll() is None, output.read_text()
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(5)
                raise


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def serving(
    server: str, environment: dict[str, str], output: Path, *, dev: bool = False
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The app of `tests/apps/served.py` under one of `SERVERS`: its address, and the process.

    With `dev`, Python says what was not closed; that takes three times as long.
    """
    port = free_port()
    command = [*(["-X", "dev"] if dev else []), *(word.format(port=port) for word in SERVERS[server])]
    environment = {**os.environ, **environment, "PYTHONWARNINGS": "default::ResourceWarning"}
    with started(command, ROOT, environment, port, output) as process:
        yield f"http://127.0.0.1:{port}", process


@contextmanager
def running(command: list[str], folder: Path, environment: dict[str, str], port: int, output: Path) -> Iterator[None]:
    """Any server, until the block ends; what it complained about fails the test."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BASE44_")}
    with started(command, folder, {**clean, **environment}, port, output):
        yield
    text = output.read_text()
    assert not [line for line in text.splitlines() if any(complaint in line for complaint in COMPLAINTS)], text
