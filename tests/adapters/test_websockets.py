"""WebSockets of the ASGI frameworks: who is let in, how others are denied, and what becomes of an error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from base44_web import Refusal, Settings
from base44_web.testing import CALENDAR_ID, Emulator
from tests.adapters.common import talk
from tests.checks import signed_in
from tests.drivers import FRAMEWORKS, Driver, changed
from tests.relayed import signed_fields

SOCKETS: Final = [name for name in FRAMEWORKS if name in ("fastapi-async", "quart-async", "litestar-async")]


def body(sent: list[dict[str, Any]]) -> Any:
    return json.loads(b"".join(message["body"] for message in sent[1:]))


@pytest.mark.drivers(*SOCKETS)
def test_who_is_let_in_and_how_others_are_denied(driver: Driver, emulator: Emulator) -> None:
    denied = talk(driver.app, "/guarded-socket")
    assert (denied[0]["type"], denied[0]["status"]) == ("websocket.http.response.start", 401)
    headers = {name.lower(): value for name, value in denied[0]["headers"]}
    assert headers[b"www-authenticate"] == b"Bearer"
    assert headers[b"content-type"] == b"application/problem+json"
    assert body(denied)["type"] == "urn:base44-web:sign-in-required"
    adas = signed_in(emulator)
    denied = talk(driver.app, "/guarded-socket", adas)
    assert denied[0]["status"] == 403
    assert body(denied)["connect_url"] == "/base44/connect/calendar"
    # Servers that cannot send an answer instead; and some say so with None.
    for extensions in ({}, None):
        (closed,) = talk(driver.app, "/guarded-socket", extensions=extensions)
        assert (closed["type"], closed["code"]) == ("websocket.close", 1008)
    emulator.connect(emulator.add_user("ada@test.example"), CALENDAR_ID)
    assert talk(driver.app, "/guarded-socket", adas)[0]["type"] == "websocket.accept"


@pytest.mark.drivers(*SOCKETS)
def test_a_denial_in_the_apps_own_format(driver_name: str, settings: Settings) -> None:
    def own(refusal: Refusal) -> Any:
        return refusal.status, {"error": refusal.code}, {"vary": "X-Own"}

    driver = Driver(driver_name, changed(settings), on_refusal=own)
    try:
        for path in ("/guarded-socket", "/escaping-socket"):
            denied = talk(driver.app, path)
            assert (denied[0]["type"], denied[0]["status"]) == ("websocket.http.response.start", 401)
            assert body(denied) == {"error": "sign-in-required"}
            names = [name.lower() for name, _ in denied[0]["headers"]]
            assert (names.count(b"vary"), names.count(b"www-authenticate")) == (1, 1)
            (closed,) = talk(driver.app, path, extensions={})
            assert (closed["type"], closed["code"]) == ("websocket.close", 1008)
    finally:
        driver.close()


@pytest.mark.drivers(*SOCKETS)
def test_the_client_of_a_handshake(driver: Driver, emulator: Emulator) -> None:
    adas = signed_in(emulator)
    accepted, text, *_ = talk(driver.app, "/socket", adas)
    assert accepted["type"] == "websocket.accept"
    assert f"Bearer {text['text']}" == adas[0][1]


@pytest.mark.drivers(*SOCKETS)
def test_a_token_among_the_subprotocols(make: Any, emulator: Emulator) -> None:
    token = emulator.sign_in(emulator.add_user("ada@test.example"))
    app = make(token_sources=["header", "subprotocol"]).app
    accepted, text, *_ = talk(app, "/socket", subprotocols=["chat", f"base44.bearer.{token}"])
    # Browsers end a connection whose subprotocol nobody picked; and the token is never sent back.
    assert (accepted["type"], accepted["subprotocol"]) == ("websocket.accept", "chat")
    assert text["text"] == token
    for offered in (["chat"], ["base44.bearer.a.b.c"]):
        assert talk(app, "/guarded-socket", subprotocols=offered)[0]["status"] == 401


@pytest.mark.drivers(*SOCKETS)
def test_errors_about_the_visitor_that_escape(driver: Driver) -> None:
    denied = talk(driver.app, "/escaping-socket")
    assert denied[0]["status"] == 401
    assert body(denied)["type"] == "urn:base44-web:sign-in-required"
    accepted, closed = talk(driver.app, "/escaping-socket-late")
    assert accepted["type"] == "websocket.accept"
    assert (closed["type"], closed["code"]) == ("websocket.close", 1008)


@pytest.mark.drivers(*SOCKETS)
def test_signed_handshakes(make: Any, platform: str, tmp_path: Path) -> None:
    """Of a relay: what is not signed right reaches no app."""
    app = make(**signed_fields(platform, tmp_path)).app
    assert talk(app, "/socket")[0]["type"] == "websocket.accept"  # it claims nothing
    denied = talk(app, "/socket", [("base44-app-id", "demo-app")])
    assert (denied[0]["status"], body(denied)["type"]) == (400, "urn:base44-web:bad-signature")
