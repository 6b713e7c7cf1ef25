"""The reference client under Node.js against every route of the emulator."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from base44_web.testing import CALENDAR_ID, WORKSPACE_ID, Emulator
from tests.frontend.conftest import Sdk
from tests.relayed import relay_environment
from tests.serving import serving


def paths(emulator: Emulator) -> list[str]:
    return [f"{request.method} {request.target.partition('?')[0]}" for request in emulator.requests]


@pytest.fixture
def make(emulator: Emulator, platform: str, sdk: Callable[..., Sdk]) -> Callable[..., Sdk]:
    return lambda **config: sdk(serverUrl=platform, appId=emulator.app_id, **config)


def test_registration_and_passwords(emulator: Emulator, make: Callable[..., Sdk]) -> None:
    client = make()
    new = {"email": "new@test.example", "password": "first password"}
    assert client.fails("auth.register", {**new, "password": "short"}) == (400, None)
    assert client("auth.register", new)["otp_expires_in_minutes"] == 10
    assert client.fails("auth.loginViaEmailPassword", *new.values()) == (401, None)
    assert client.fails("auth.verifyOtp", {"email": new["email"], "otpCode": "0"}) == (500, None)
    before = emulator.verification_code(new["email"])
    client("auth.resendOtp", new["email"])
    code = emulator.verification_code(new["email"])
    assert code is not None
    assert code != before
    verified = client("auth.verifyOtp", {"email": new["email"], "otpCode": code})
    assert client.fails("auth.register", new) == (400, None)

    assert client.fails("auth.loginViaEmailPassword", new["email"], "wrong") == (401, None)
    assert client("auth.loginViaEmailPassword", *new.values())["user"]["id"] == verified["id"]
    assert client("auth.me")["email"] == new["email"]
    change = {"userId": verified["id"], "currentPassword": "wrong", "newPassword": "second password"}
    assert client.fails("auth.changePassword", change) == (400, None)
    client("auth.changePassword", {**change, "currentPassword": new["password"]})
    assert client.fails("auth.loginViaEmailPassword", *new.values()) == (401, None)

    client("auth.resetPasswordRequest", "nobody@test.example")
    assert emulator.reset_token("nobody@test.example") is None
    client("auth.resetPasswordRequest", new["email"])
    token = emulator.reset_token(new["email"])
    assert client.fails("auth.resetPassword", {"resetToken": "x", "newPassword": "third password"}) == (400, None)
    client("auth.resetPassword", {"resetToken": token, "newPassword": "third password"})
    assert client.fails("auth.resetPassword", {"resetToken": token, "newPassword": "fourth password"}) == (400, None)
    client("auth.loginViaEmailPassword", new["email"], "third password")


def test_the_own_record(emulator: Emulator, make: Callable[..., Sdk]) -> None:
    assert make().fails("auth.me") == (401, None)
    ada = emulator.add_user("own@test.example", full_name="Own", theme="light")
    client = make(token=emulator.sign_in(ada))
    me = client("auth.me")
    assert (me["app_id"], me["disabled"], me["theme"]) == (emulator.app_id, False, "light")
    changed = client("auth.updateMe", {"theme": "dark", "role": "admin", "email": "x", "id": "x", "app_id": "x"})
    assert changed == {**me, "theme": "dark", "updated_date": changed["updated_date"]}
    assert client("auth.me") == changed
    assert client("auth.isAuthenticated") is True
    emulator.remove_user(ada)
    assert client.fails("auth.me") == (401, None)
    assert make(token=emulator.sign_in(ada, lifetime=-1)).fails("auth.me") == (401, None)


def test_connectors(emulator: Emulator, make: Callable[..., Sdk]) -> None:
    ada = emulator.add_user("connects@test.example")
    client = make(token=emulator.sign_in(ada), serviceToken=emulator.service_token)
    service = "asServiceRole.connectors"
    assert client(f"{service}.getConnection", "slack")["accessToken"] == emulator.share_token("slack")
    assert client(f"{service}.getWorkspaceConnection", WORKSPACE_ID)["connectionConfig"]["account"]
    assert client.fails(f"{service}.getCurrentAppUserConnection", CALENDAR_ID) == (404, "NOT_FOUND")
    assert "/provider/consent" in client("connectors.connectAppUser", CALENDAR_ID)
    token = emulator.connect(ada, CALENDAR_ID)
    assert client(f"{service}.getCurrentAppUserConnection", CALENDAR_ID)["accessToken"] == token
    client("connectors.disconnectAppUser", CALENDAR_ID)
    assert client.fails("connectors.disconnectAppUser", CALENDAR_ID) == (404, None)
    assert client.fails(f"{service}.getConnection", "x") == (403, "metered_connector_requires_proxy")
    assert client(f"{service}.callApi", "x", {"path": "/2/users/me"})["data"]["data"] == {"username": "example"}


def test_functions(emulator: Emulator, make: Callable[..., Sdk], platform: str, function: str) -> None:
    emulator.add_function("mail/send", function)
    token = emulator.sign_in(emulator.add_user("calls@test.example"))
    forged = {"Base44-State": "forged", "Base44-Api-Url": "https://evil.example", "X-Data-Env": "dev"}
    client = make(token=token, functionsVersion="7", headers=forged)
    invoked = client("functions.invoke", "mail/send", {"to": "Ada"})
    assert invoked["status"] == 201
    seen = invoked["data"]
    assert (seen["method"], seen["path"], seen["body"]) == ("POST", "/functions/mail/send", '{"to":"Ada"}')
    fetched = client("functions.fetch", "/mail/send/now?soon=%2F", {"method": "PUT", "body": "größe"})
    assert fetched["status"] == 200
    seen_by_fetch = json.loads(fetched["text"])
    assert (seen_by_fetch["method"], seen_by_fetch["path"]) == ("PUT", "/functions/mail/send/now?soon=%2F")
    assert seen_by_fetch["body"] == "größe"
    for headers in (seen["headers"], seen_by_fetch["headers"]):
        assert headers["authorization"] == f"Bearer {token}"
        assert headers["base44-service-authorization"] == f"Bearer {emulator.service_token}"
        assert headers["base44-app-id"] == emulator.app_id
        assert headers["base44-api-url"] == headers["x-base44-app-url"] == platform
        assert len(headers["base44-state"]) > 20
        assert headers["x-data-env"] == "prod"
    assert seen["headers"]["base44-functions-version"] == "7"
    sent = {"to": "Ada", "more": {"a": 1}, "note": {"file": "note.txt", "content": "größe"}}
    seen = client("functions.invoke", "mail/send", sent)["data"]
    assert seen["headers"]["content-type"].startswith("multipart/form-data; boundary=")
    for part in ('name="to"\r\n\r\nAda', 'name="more"\r\n\r\n{"a":1}', 'filename="note.txt"', "größe"):
        assert part in seen["body"]
    assert client.fails("functions.invoke", "nothing", {})[0] == 404
    emulator.add_function("down", "http://127.0.0.1:9")
    assert client.fails("functions.invoke", "down", {})[0] == 502


def test_small_calls(emulator: Emulator, make: Callable[..., Sdk]) -> None:
    client = make()
    assert client("app.getPublicSettings") == {"id": emulator.app_id, "public_settings": "public_without_login"}
    client("appLogs.logUserInApp", "lists/7")
    client("analytics.track", {"eventName": "tried"})
    deadline = time.monotonic() + 10
    batch = f"POST /api/apps/{emulator.app_id}/analytics/track/batch"
    while batch not in paths(emulator) and time.monotonic() < deadline:
        time.sleep(0.05)
    sent = next(json.loads(each.body) for each in emulator.requests if each.target.endswith("/track/batch"))
    assert [event["event_name"] for event in sent["events"]] == ["tried"]


NOT_EMULATED: list[tuple[str, list[Any]]] = [
    ("entities.Task.list", []),
    ("entities.Task.create", [{"title": "x"}]),
    ("entities.User.list", []),
    ("integrations.Core.InvokeLLM", [{"prompt": "x"}]),
    ("integrations.Maps.Find", [{}]),
    ("integrations.custom.call", ["slug", "operation", {}]),
    ("agents.getConversations", []),
    ("agents.createConversation", [{"agent_name": "helper"}]),
    ("users.inviteUser", ["a@test.example", "user"]),
    ("auth.inviteUser", ["a@test.example", "user"]),
    ("appLogs.fetchLogs", []),
    ("appLogs.getStats", []),
    ("asServiceRole.sso.getAccessToken", ["user"]),
    ("asServiceRole.sso.getIdToken", ["user"]),
]


def test_what_is_not_emulated_says_so(emulator: Emulator, make: Callable[..., Sdk], subtests: pytest.Subtests) -> None:
    for path, args in NOT_EMULATED:
        with subtests.test(path):
            client = make(serviceToken=emulator.service_token)
            assert client.fails(path, *args) == (501, "NOT_EMULATED")
    with subtests.test("aiGateway"):  # whose requests another library makes
        gateway = make()("aiGateway.connection")
        answer = httpx2.post(f"{gateway['baseURL']}/chat/completions", json={"model": "x"})
        assert (answer.status_code, answer.json()["code"]) == (501, "NOT_EMULATED")


def test_subscriptions_end(emulator: Emulator, make: Callable[..., Sdk]) -> None:
    client = make(token=emulator.sign_in(emulator.add_user("subscribes@test.example")))
    client("entities.Task.subscribe", "<callback>")
    client("actors.Room(lobby).connect")
    time.sleep(4)  # socket.io would have tried again after one second, and after two more; an actor's socket likewise
    asked = f"POST /api/apps/{emulator.app_id}/actors/Room/connection-token"
    assert sorted(paths(emulator)) == ["GET /ws-user-apps/socket.io/", asked]


def test_the_relay_as_the_platform_runs_it(
    emulator: Emulator, make: Callable[..., Sdk], platform: str, relay_at: Any, tmp_path: Path
) -> None:
    """Front end, platform, function, server, and the server's own calls back to the platform."""
    for module in ("uvicorn", "starlette"):
        pytest.importorskip(module)
    ada = emulator.add_user("relayed@test.example")
    client = make(token=emulator.sign_in(ada), headers={"Base44-Service-Authorization": "Bearer forged"})
    environment = relay_environment(emulator, platform, "starlette-async", str(tmp_path / "replays"))
    with serving("uvicorn", environment, tmp_path / "output") as (url, _):
        emulator.add_function("relay", relay_at(url))
        answer = client("functions.fetch", "/relay/me")
        assert json.loads(answer["text"])["email"] == "relayed@test.example"
        assert make()("functions.fetch", "/relay/me")["status"] == 401
