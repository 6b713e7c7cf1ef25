"""Base44's own command line tool: its `connectors` commands against the emulator, its `dev` server beside it."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest

from base44_web.testing import Emulator
from tests.serving import free_port


@pytest.fixture
def environment(platform: str, tmp_path: Path) -> dict[str, str]:
    """Nothing of this machine's owner, no telemetry, no look for updates."""
    return {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "BASE44_DISABLE_TELEMETRY": "1", "CI": "true",
        "BASE44_API_URL": platform, "BASE44_CLI_TEST_OVERRIDES": '{"latestVersion": null}',
    }  # fmt: skip


@pytest.fixture
def project(emulator: Emulator, tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "base44").mkdir(parents=True)
    (folder / "base44/config.jsonc").write_text('{"name": "test"}')
    (folder / "base44/.app.jsonc").write_text(json.dumps({"id": emulator.app_id}))
    return folder


def test_connectors(emulator: Emulator, environment: dict[str, str], project: Path, tool: Path) -> None:
    def run(*words: str, key: str = emulator.api_key) -> Any:
        command = ["node", str(tool / "bin/run.js"), *words, "--json"]
        given = {**environment, "BASE44_API_KEY": key}
        done = subprocess.run(command, cwd=project, env=given, capture_output=True, text=True, timeout=60)
        return json.loads(done.stdout)

    available = run("connectors", "list-available")["integrations"]
    assert {"integrationType": "slack", "displayName": "Slack User"}.items() <= next(
        each for each in available if each["integrationType"] == "slack"
    ).items()
    assert run("connectors", "list-available", key="b44k_wrong")["statusCode"] == 401

    started = run("connectors", "initiate", "--integration-type", "gmail", "--scopes", "a,b")
    assert started["alreadyAuthorized"] is False
    with httpx2.Client(follow_redirects=True) as browser:
        consent = browser.get(started["redirectUrl"])
        assert "the whole app" in consent.text
        assert "Connected" in browser.post(started["redirectUrl"], data={"answer": "approve"}).text
    assert emulator.share_token("gmail")
    assert run("connectors", "initiate", "--integration-type", "gmail", "--scopes", "a,b")["alreadyAuthorized"] is True

    assert run("connectors", "pull")["pulled"] == 2
    folder = project / "base44/connectors"
    assert json.loads((folder / "gmail.jsonc").read_text())["scopes"] == ["a", "b"]
    (folder / "gmail.jsonc").unlink()
    run("connectors", "push", "--yes")
    assert [connector["type"] for connector in map(json.loads, [p.read_text() for p in folder.iterdir()])] == ["slack"]
    assert run("connectors", "pull")["pulled"] == 1


# --- beside the real development server


@pytest.fixture
def real(environment: dict[str, str], project: Path, tool: Path, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """`base44 dev`, its address and what it prints. It asks this machine only: the emulator is its platform."""
    port = free_port()
    credential = jwt.encode({"sub": "dev@test.example", "exp": int(time.time()) + 3600}, "x" * 32, algorithm="HS256")
    given = {**environment, "BASE44_ACCESS_TOKEN": credential, "BASE44_REFRESH_TOKEN": "none"}
    output = tmp_path / "output"
    with output.open("w") as file:
        command = ["node", str(tool / "bin/run.js"), "dev", "--port", str(port)]
        process = subprocess.Popen(command, cwd=project, env=given, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    try:
        for _ in range(200):
            if "is available at" in output.read_text() or process.poll() is not None:
                break
            time.sleep(0.1)
        assert process.poll() is None, output.read_text()
        yield f"http://127.0.0.1:{port}", output
    finally:
        process.terminate()
        process.wait(20)


def shape(value: Any) -> Any:
    """A body without what differs from run to run."""
    if isinstance(value, dict):
        varies = {"id", "access_token", "created_date", "updated_date"}
        return {key: "varies" if key in varies else shape(item) for key, item in value.items()}
    return value


class Session:
    """The same requests to one server after the other."""

    def __init__(self, url: str, app: str) -> None:
        self.client = httpx2.Client(base_url=f"{url}/api/apps/{app}/", timeout=20)
        self.answers: list[tuple[str, int, Any, str | None]] = []

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        answer = self.client.request(method, path, json=body, headers=headers)
        allowed = answer.headers.get("access-control-allow-origin") if "origin" in headers else None
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        content = answer.json() if is_json else None
        self.answers.append((f"{method} {path}", answer.status_code, shape(content), allowed))
        return content

    def run(self, code: Any) -> None:
        email, right = "one@test.example", {"email": "one@test.example", "password": "long enough"}
        self.ask("POST", "auth/login", right)
        self.ask("POST", "auth/login", {})
        self.ask("POST", "auth/register", {**right, "password": "short"})
        self.ask("POST", "auth/register", right)
        self.ask("POST", "auth/verify-otp", {"email": email, "otp_code": "0"})
        token = self.ask("POST", "auth/verify-otp", {"email": email, "otp_code": code()})["access_token"]
        self.ask("POST", "auth/register", right)
        self.ask("POST", "auth/login", {**right, "password": "wrong"})
        self.ask("POST", "auth/login", right)
        unsigned = token.rpartition(".")[0] + "."
        stranger = base64.urlsafe_b64encode(b'{"sub":"gone@test.example"}').rstrip(b"=").decode()
        gone = f"{token.partition('.')[0]}.{stranger}.{token.rpartition('.')[2]}"
        service = jwt.encode({"sub": "server@server.com"}, "x" * 32, algorithm="HS256")
        for header in (f"Bearer {token}", token, f"bearer {token}", f"Bearer  {token}", "Bearer x",
                       "Bearer null", "Bearer", f"Basic {token}", f"Bearer {unsigned}", f"Bearer {gone}",
                       f"Bearer {service}"):  # fmt: skip
            self.ask("GET", "entities/User/me", authorization=header)
        self.ask("GET", "entities/User/me")
        changes = {"full_name": "No", "email": "no", "role": "admin", "id": "no", "created_date": "no"}
        self.ask("PUT", "entities/User/me", changes, authorization=f"Bearer {token}")
        self.ask("PUT", "entities/User/me", changes)
        self.ask("POST", "functions/nothing", {}, authorization=f"Bearer {token}")
        for origin in ("http://localhost:5173", "http://127.0.0.1:5173", "https://evil.example"):
            self.ask("OPTIONS", "entities/User/me", origin=origin, **{"access-control-request-method": "PUT"})
        claims = jwt.decode(token, "LOCAL_DEV_SECRET", algorithms=["HS256"])
        assert set(claims) == {"sub", "iat", "exp"}
        assert claims["exp"] - claims["iat"] == 360 * 24 * 3600


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_the_dev_mode_is_as_the_real_one(real: tuple[str, Path], emulator: Emulator) -> None:
    url, output = real
    theirs = Session(url, emulator.app_id)

    def printed() -> str:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if found := re.search(r"verification code: (\d+)", output.read_text()):
                return found[1]
            time.sleep(0.05)
        raise AssertionError(output.read_text())

    with theirs.client:
        theirs.run(printed)
    with Emulator(app_id=emulator.app_id, mode="dev") as dev, dev.serve() as server:
        ours = Session(server.url, dev.app_id)
        with ours.client:
            ours.run(lambda: dev.verification_code("one@test.example"))
    assert len(theirs.answers) > 20
    for their, our in zip(theirs.answers, ours.answers, strict=True):
        assert our == their


def test_dev_mode_with_functions_and_connectors(function: str) -> None:
    """What the real one does for a function was run once, with Deno: nothing is dropped but what it sets itself."""
    with Emulator.demo(mode="dev") as dev, dev.serve() as server:
        dev.add_function("echo", function)
        ada = dev.add_user("dev@test.example")
        headers = {"authorization": f"Bearer {dev.sign_in(ada)}", "x-app-id": dev.app_id, "base44-state": "kept"}
        with httpx2.Client(base_url=f"{server.url}/api/apps/{dev.app_id}/", headers=headers) as client:
            seen = client.post("functions/echo?q=1", headers={"base44-service-authorization": "Bearer x"}).json()
            assert seen["path"] == "/echo?q=1"
            assert seen["headers"]["base44-state"] == "kept"
            assert seen["headers"]["base44-app-id"] == dev.app_id
            assert seen["headers"]["base44-api-url"] == server.url
            assert "x-base44-app-url" not in seen["headers"]
            service = seen["headers"]["base44-service-authorization"]
            assert jwt.decode(service[7:], options={"verify_signature": False})["sub"] == "server@server.com"
            found = client.get("external-auth/tokens/slack", headers={"authorization": service})
            assert found.json()["access_token"] == dev.share_token("slack")
