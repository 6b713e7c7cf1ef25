"""Under real servers: the first call works, headers arrive as servers pass them on, and they end cleanly."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from base44_web.testing import CALENDAR_ID, Emulator
from tests.apps.calls import encode_call
from tests.serving import COMPLAINTS, PATIENCE, ROOT, SERVERS, app_environment, eventually, free_port, needs, serving

COMBINATIONS = [
    ("uvicorn", "starlette-async"), ("uvicorn", "starlette-sync"), ("uvicorn", "fastapi-async"),
    ("uvicorn", "fastapi-sync"), ("uvicorn-no-lifespan", "starlette-async"), ("uvicorn-asyncio", "fastapi-async"),
    ("uvicorn", "django-asgi-async"), ("uvicorn", "django-asgi-sync"),
    ("granian", "starlette-async"), ("granian", "django-asgi-async"), ("granian-wsgi", "flask-sync"),
    ("granian-wsgi", "flask-async"), ("hypercorn", "starlette-async"), ("hypercorn", "fastapi-sync"),
    ("gunicorn", "flask-sync"), ("gunicorn", "django-wsgi-sync"), ("gunicorn-threads", "flask-async"),
    ("gunicorn-threads", "django-wsgi-async"), ("gunicorn-preload", "flask-sync"), ("gunicorn-preload", "flask-async"),
    ("gunicorn-preload", "django-wsgi-sync"),
]  # fmt: skip


def run(client: httpx2.Client, driver: str, headers: list[tuple[str, str]], *call: Any) -> dict[str, Any]:
    path = f"/{driver.rpartition('-')[2]}/run" if driver.startswith("django") else "/run"
    module, method, *args = call
    answer = client.post(path, headers=[*headers, *encode_call(module, method, args, {})])
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result


def run_raw(url: str, driver: str, authorization: list[str]) -> dict[str, Any]:
    """`base44.token`, with header values as they are: a careful client would not send them."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE)
    connection.putrequest("POST", f"/{driver.rpartition('-')[2]}/run" if driver.startswith("django") else "/run")
    for value in authorization:
        connection.putheader("Authorization", value.encode("latin-1"))
    for name, value in [*encode_call("client", "token", (), {}), ("Content-Length", "0")]:
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == 200, body
    result: dict[str, Any] = json.loads(body)
    return result


@pytest.mark.parametrize(("server", "driver"), COMBINATIONS, ids=["+".join(pair) for pair in COMBINATIONS])
def test_serves_and_ends_cleanly(server: str, driver: str, emulator: Emulator, tmp_path: Path) -> None:
    needs(server, driver)
    user = emulator.add_user("ada@test.example")
    provider_token = emulator.connect(user, CALENDAR_ID)
    headers = [("authorization", f"Bearer {emulator.sign_in(user)}")]
    output = tmp_path / "output"
    with emulator.serve() as platform:
        environment = app_environment(emulator, platform.url, driver)
        if "preload" in server:
            environment["TEST_CALL_AT_IMPORT"] = "1"
        with serving(server, environment, output, dev=True) as (url, process):
            for _ in range(10):
                with httpx2.Client(base_url=url, timeout=PATIENCE) as other:  # another connection: another worker
                    result = run(other, driver, headers, "service", "get_current_app_user_connection", "calendar")
                assert result["result"]["access_token"] == provider_token
            # How real servers hand on what came twice, with octets beyond ASCII, or without a token.
            for bad in ([headers[0][1]] * 2, ["Bearer \xe9"]):
                assert run_raw(url, driver, bad)["error"] == "AuthenticationError"
            assert run_raw(url, driver, ["Bearer "]) == {"result": None}
            if "preload" in server:
                check_no_shared_sockets(process.pid, int(platform.url.rpartition(":")[2]))
        assert process.returncode in (0, -signal.SIGTERM), output.read_text()
    # gunicorn leaves its own listening socket to the interpreter's end.
    listener = f"laddr=('127.0.0.1', {url.rpartition(':')[2]})>"
    lines = [line for line in output.read_text().splitlines() if listener not in line and "tracemalloc" not in line]
    assert not [line for line in lines if any(complaint in line for complaint in COMPLAINTS)], lines


def check_no_shared_sockets(master: int, port: int) -> None:
    """No worker holds a connection to the platform that its parent or its sibling holds (by inode)."""

    def children() -> list[str]:
        return Path(f"/proc/{master}/task/{master}/children").read_text().split()

    assert eventually(lambda: len(children()) == 2)
    held = [platform_sockets(pid, port) for pid in (str(master), *children())]
    assert held[0], "the parent made no call before the fork"
    assert held[1] or held[2], "no worker holds a connection"
    assert not held[0] & held[1]
    assert not held[0] & held[2]
    assert not held[1] & held[2]


def platform_sockets(pid: str, port: int) -> set[str]:
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    to_platform = {row[9] for row in rows if row[2].endswith(f":{port:04X}")}
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            target = os.readlink(entry)
            if target.startswith("socket:["):
                found.add(target[8:-1])
    return found & to_platform


@pytest.mark.parametrize("server", ["uvicorn", "granian", "hypercorn"])
def test_wrong_settings_end_the_server_with_the_reason(server: str, tmp_path: Path) -> None:
    needs(server, "starlette")
    code = (
        "from starlette.applications import Starlette\n"
        "from base44_web.starlette import Base44Middleware\n"
        "app = Base44Middleware(Starlette())\n"
    )
    (tmp_path / "wrong_app.py").write_text(code)
    command = [word.format(port=free_port()).replace("tests.apps.served", "wrong_app") for word in SERVERS[server]]
    command = [word for word in command if word != "--no-log"]
    done = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    if server != "hypercorn":  # it ends with the reason, and status 0
        assert done.returncode != 0
    if server != "granian":  # granian says that the start failed, and not why: the log does
        assert "BASE44_APP_ID" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("server", "driver"),
    [("gunicorn", "flask-sync"), ("gunicorn", "django-wsgi-sync"), ("uvicorn", "django-asgi-async"),
     ("uvicorn", "fastapi-async")],
)  # fmt: skip
def test_refusals_have_the_headers_of_cors(
    server: str, driver: str, emulator: Emulator, platform: str, tmp_path: Path
) -> None:
    """flask-cors, django-cors-headers and Starlette's middleware see what guards and escaped errors are answered with."""
    needs(server, driver)
    pytest.importorskip({"flask": "flask_cors", "django": "corsheaders"}.get(driver.partition("-")[0], "starlette"))
    environment = app_environment(emulator, platform, driver) | {"TEST_CORS_ORIGIN": "https://app.example"}
    prefix = f"/{driver.rpartition('-')[2]}" if driver.startswith("django") else ""
    call = encode_call("user", "connect_app_user", ("calendar",), {})
    with (
        serving(server, environment, tmp_path / "output") as (url, _),
        httpx2.Client(base_url=url, timeout=PATIENCE) as client,
    ):
        for path in ("/guarded", "/escape"):
            answer = client.post(prefix + path, headers=[("origin", "https://app.example"), *call])
            assert answer.status_code == 401
            assert answer.headers["access-control-allow-origin"] == "https://app.example"
