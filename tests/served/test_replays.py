"""One signed request, sent many times at once to several workers."""

from __future__ import annotations

import threading
from pathlib import Path

import httpx2
import pytest

from base44_web.testing import Emulator
from tests.checks import (
    Headers,
)
from tests.relayed import CALL, relay_environment, said_of_ada, sign
from tests.serving import PATIENCE, serving


@pytest.fixture
def relayed(emulator: Emulator, platform: str) -> Headers:
    return said_of_ada(emulator, platform)


def copies_pass(url: str, path: str, relayed: Headers, count: int = 20) -> int:
    """Send one signed request many times at once; how many passed."""
    headers = [*sign(relayed, path=path), *CALL]
    statuses: list[int] = []
    ready = threading.Barrier(count)

    def one() -> None:
        with httpx2.Client(timeout=PATIENCE) as client:
            ready.wait(PATIENCE)
            statuses.append(client.post(url + path, headers=headers).status_code)

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert set(statuses) <= {200, 400}
    return statuses.count(200)


@pytest.mark.parametrize(
    ("server", "driver"),
    [("gunicorn-threads", "flask-sync"), ("gunicorn-preload", "django-wsgi-sync"), ("uvicorn", "starlette-async")],
)
@pytest.mark.parametrize("store", ["sqlite", "redis"])
def test_of_twenty_copies_one_passes(
    server: str, driver: str, store: str, emulator: Emulator, platform: str, relayed: Headers, tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    for module in (server.partition("-")[0], driver.partition("-")[0]):
        pytest.importorskip(module)
    where = str(tmp_path / "replays") if store == "sqlite" else request.getfixturevalue("redis")
    path = "/sync/run" if driver.startswith("django") else "/run"
    with serving(server, relay_environment(emulator, platform, driver, where), tmp_path / "output") as (url, _):
        httpx2.get(url + path, timeout=PATIENCE)  # a worker that has loaded the app, and made the store
        for _ in range(3):
            assert copies_pass(url, path, relayed) == 1
