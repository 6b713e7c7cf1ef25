"""The relay itself, under Node.js, before every framework."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from base44_web.testing import Emulator, Fault
from tests.checks import (
    Headers,
)
from tests.npm import installed
from tests.relayed import AUDIENCE, CALL, SECRET, relay_environment, said_of_ada
from tests.serving import PATIENCE, serving


@pytest.fixture
def relayed(emulator: Emulator, platform: str) -> Headers:
    return said_of_ada(emulator, platform)


@pytest.fixture
def relay_at(request: pytest.FixtureRequest) -> Iterator[Any]:
    here = Path(__file__).parent
    installed(here, "typescript")
    processes: list[subprocess.Popen[str]] = []

    def start(origin: str, **more: str) -> str:
        to = {
            "origin": origin,
            "prefix": "",
            "mount": "/functions/relay",
            "audience": AUDIENCE,
            "keyId": "k1",
            "secret": SECRET,
        }
        process = subprocess.Popen(
            ["node", str(here / "serve.mjs"), json.dumps(to | more)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout is not None
        return f"http://127.0.0.1:{int(process.stdout.readline())}"

    yield start
    for process in processes:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.wait(PATIENCE)
        process.stdout.close()


@pytest.mark.parametrize(
    ("server", "driver"),
    [("uvicorn", "starlette-async"), ("uvicorn", "fastapi-sync"), ("uvicorn", "django-asgi-async"), ("gunicorn", "flask-sync"),
     ("gunicorn", "django-wsgi-sync")],
)  # fmt: skip
def test_the_relay(
    server: str, driver: str, emulator: Emulator, platform: str, relayed: Headers, relay_at: Any, tmp_path: Path
) -> None:
    for module in (server, driver.partition("-")[0]):
        pytest.importorskip(module)
    environment = relay_environment(emulator, platform, driver, str(tmp_path / "replays"))
    kind = driver.rpartition("-")[2]
    prefix = f"/{kind}" if driver.startswith("django") else ""
    with serving(server, environment, tmp_path / "output") as (url, _):
        relay = relay_at(url, prefix=prefix)
        with httpx2.Client(base_url=f"{relay}/functions/relay", timeout=PATIENCE) as client:
            # A service role for the request, which this server has none of its own of.
            answer = client.post("/run?a=%2F%20b&ü=1", headers=[*relayed, *CALL], content="größe".encode())
            assert answer.json()["result"]["access_token"] == emulator.share_token("slack")
            for _ in range(3):  # each is signed anew
                assert client.get("/me", headers=relayed).json()["email"] == "ada@test.example"
            assert client.get("/me").status_code == 401
            forged = [*relayed, ("base44-relay-signature", "v=1;k=k1;t=1;n=x;s=y"), ("cookie", "base44_access_token=x")]
            assert client.get("/me", headers=forged).status_code == 200  # the relay's own signature takes its place
            for path in ("/..%2f..%2fidle", "/%2e%2e/x", "/a%5c..%5cb", "/%ff"):
                assert client.get(path, headers=relayed).status_code == 404
        # Straight to the server, nobody is believed.
        assert httpx2.get(f"{url}{prefix}/me", headers=relayed, timeout=PATIENCE).status_code == 400


def test_the_relay_returns_no_cookies_and_follows_nothing(emulator: Emulator, platform: str, relay_at: Any) -> None:

    emulator.fault(
        Fault(
            status=302,
            headers={"Location": "https://elsewhere.example/", "Set-Cookie": "a=b", "Connection": "keep-alive"},
        ),
        times=None,
    )
    relay = relay_at(platform)
    answer = httpx2.get(
        f"{relay}/functions/relay/x",
        headers={"Connection": "x-private", "X-Private": "1", "X-Other": "2"},
        timeout=PATIENCE,
    )
    assert answer.status_code == 302
    assert answer.headers["location"] == "https://elsewhere.example/"
    assert "set-cookie" not in answer.headers
    assert emulator.requests[-1].header("x-private") is None
    assert emulator.requests[-1].header("x-other") == "2"
    assert httpx2.get(f"{relay}/other/x", timeout=PATIENCE).status_code == 404


def test_the_relay_signs_what_the_client_calls_hop_by_hop(emulator: Emulator, platform: str, relay_at: Any) -> None:
    httpx2.get(
        f"{relay_at(platform)}/functions/relay/x",
        headers={"Connection": "authorization", "Authorization": "Bearer a.b.c"},
        timeout=PATIENCE,
    )
    assert emulator.requests[-1].header("authorization") == "Bearer a.b.c"
