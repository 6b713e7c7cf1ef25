"""Drivers whose app is a server's, reached over HTTP; each test has an emulator of its own, the server outlives it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest

from base44_web.testing import Emulator, Recorded
from base44_web.testing._faults import Answer
from tests.drivers import Driver
from tests.serving import PATIENCE, free_port, running

# The memory of a second in which the platform is not asked again has a test; the others would wait for it to pass.
_RUN = """
import runpy, sys
from base44_web._core.connections import statuses
statuses._SECONDS = 0.0
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
_OPTIONS = {
    "gunicorn": [
        "-w", "1", "--threads", "4", "--limit-request-line", "0", "--limit-request-field_size", "16000",
        "-b", "127.0.0.1:{port}"],
    "uvicorn": ["--port", "{port}"],
}  # fmt: skip


class Stage(Emulator):
    """An address that stays the same, for one emulator after the other."""

    current: Emulator

    def answer(self, request: Recorded, *, origin: str | None = None) -> Answer:
        return self.current.answer(request, origin=origin)

    @contextmanager
    def emulator(self) -> Iterator[Emulator]:
        """A new one: with its secret, every token of before is a stranger's."""
        with Emulator.demo() as emulator:
            emulator.service_token = self.service_token
            self.current = emulator
            yield emulator


class Served(Driver):
    """Sends requests to one server."""

    def __init__(self, name: str, url: str, *, asgi: bool, path: str = "") -> None:
        self.name, self.path, self.headers_apart, self.raises = name, path, asgi, False
        self._client = httpx2.Client(base_url=url, timeout=PATIENCE)

    def close(self) -> None:
        self._client.close()

    def request(
        self, method: str, path: str, headers: Any = (), body: bytes = b"", *, host: str = "testserver"
    ) -> httpx2.Response:
        return self._client.request(method, self.path + path, headers=list(headers), content=body)


@contextmanager
def served(server: str, app: str, folder: Path, environment: dict[str, str], output: Path) -> Iterator[str]:
    """An app under `uvicorn` or `gunicorn`: its address."""
    port = free_port()
    command = [word.format(port=port) for word in ("--log-level", "warning", *_OPTIONS[server], app)]
    with running(["-c", _RUN, server, *command], folder, environment, port, output):
        yield f"http://127.0.0.1:{port}"


# --- fixtures, for modules whose `site` is the server


class Site(NamedTuple):
    stage: Stage
    platform: str
    driver: Served


@pytest.fixture
def emulator(site: Site) -> Iterator[Emulator]:
    with site.stage.emulator() as emulator:
        yield emulator


@pytest.fixture
def platform(site: Site) -> str:
    return site.platform


@pytest.fixture
def driver(emulator: Emulator, site: Site) -> Served:
    return site.driver
