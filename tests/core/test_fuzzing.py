"""Whatever comes in, and whatever the platform answers: never a 500, never an allow, never a way to another site."""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from base44_web import Base44Error, Settings
from base44_web._core.claims import Token
from base44_web._core.clock import Clock
from base44_web._core.identity.keys import Keys
from base44_web._core.incoming.caller import Caller
from base44_web._core.incoming.read import read_caller
from base44_web._core.incoming.request import Incoming
from base44_web._core.incoming.session import Seal
from base44_web._core.platform import wire as _wire
from base44_web._core.secret import Secret
from base44_web._core.transport.message import PlatformResponse
from base44_web._core.urls import is_safe_url
from base44_web._core.views.routes import VIEWS, Mounted, ViewRequest, safe_next
from base44_web.errors import parse_retry_after

# More for a long run outside CI: FUZZ_EXAMPLES=1000000 python -m pytest tests/core/test_fuzzing.py
settings.register_profile(
    "here", max_examples=int(os.environ.get("FUZZ_EXAMPLES", "300")), deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], database=None,
)  # fmt: skip
settings.load_profile("here")

SECRET = "a session secret of more than 32 characters"
OURS = Settings(
    app_id="app", token_sources=["header", "session", "cookie", "subprotocol"], secret=SECRET,
    app_user_connectors={"calendar": "1"},
)  # fmt: skip
SEAL = Seal((Secret(SECRET),))
CALLER = Caller(
    "app", "https://base44.app", "https://base44.app", token=Token(Secret("a.b.c")), service_token=Secret("s")
)
latin = st.text(st.characters(max_codepoint=255), max_size=60)
near = st.lists(
    st.sampled_from(["Bearer", "bearer", " ", "a.b.c", "e30.e30.x", ",", ";", "=", "base44_access_token", "__Host-base44_session",
                     "base44.bearer.", "\t", "\x85", "\xa0", '"', "\0", "x" * 9000]), max_size=8,
).map("".join)  # fmt: skip
NAMES = [
    "authorization",
    "cookie",
    "origin",
    "host",
    "sec-fetch-site",
    "sec-fetch-mode",
    "sec-websocket-protocol",
    "base44-app-id",
]


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), latin | near), max_size=6),
    st.sampled_from(["GET", "POST"]),
    st.booleans(),
)
@example([("cookie", "base44_access_token=a.b.c\x85")], "GET", False)
@example([("authorization", "Bearer a.b.c"), ("authorization", "Bearer a.b.c")], "GET", False)
def test_what_comes_in(headers: list[tuple[str, str]], method: str, websocket: bool) -> None:
    incoming = Incoming(method, headers, websocket=websocket)
    try:
        caller = read_caller(incoming, OURS, SEAL)
    except Base44Error as error:
        assert error.about_visitor  # noqa: PT017
        return
    if caller.token is not None:
        # A token is one word that somebody sent, whole.
        text = caller.token.secret.reveal()
        assert text
        assert not set(text) & set(' \t",;\0\x85\xa0')
        assert any(
            text in value for name, value in headers if name in ("authorization", "cookie", "sec-websocket-protocol")
        )
        if method == "POST" and not any(name == "authorization" for name, _ in headers) and not websocket:
            assert any(name in ("origin", "sec-fetch-site") for name, _ in headers)


@given(st.lists(st.text(max_size=40) | near, max_size=3))
@example(["/%2f/evil"])
@example(["/\\evil"])
@example(["/" + "a" * 5000])
def test_next(values: list[str]) -> None:
    found = safe_next(values, "/home/")
    assert found == "/home/" or [found] == values
    parts = urlsplit(found)
    assert (parts.scheme, parts.netloc) == ("", "")
    assert found.startswith("/")
    assert not found.startswith(("//", "/\\"))
    assert found.isascii()
    assert found.isprintable()


@given(st.text(max_size=80) | st.from_regex(r"https?:/{0,3}[a-z@:\\./\[\]0-9]{0,20}", fullmatch=True))
def test_urls_for_browsers(url: str) -> None:
    if is_safe_url(url):
        parts = urlsplit(url)
        assert (
            parts.scheme == "https" or parts.hostname in ("localhost", "::1") or str(parts.hostname).startswith("127.")
        )
        assert "@" not in parts.netloc
        assert url.isascii()
        assert url.isprintable()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ["access_token", "connection_config", "integration_type", "redirect_url", "already_authorized", "id", "app_id", "is_service",
          "disabled", "success", "phase", "status_code", "headers", "credits_charged", "detail", "message", "error", "code", "email"]  # fmt: skip
bodies = st.binary(max_size=60) | st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=6).map(
    lambda value: json.dumps(value).encode("utf-8", "replace")
)
CALLS = [
    _wire.get_connection(CALLER, "slack"), _wire.get_current_app_user_connection(CALLER, "1"), _wire.connect_app_user(CALLER, "1"),
    _wire.disconnect_app_user(CALLER, "1"), _wire.current_user(CALLER), _wire.get_keys("https://keys.example/"),
    _wire.call_api(CALLER, "x", path="/", method="GET", host=None, query=None, headers=None, body=None),
]  # fmt: skip


@given(
    st.sampled_from(CALLS),
    st.integers(100, 599),
    bodies,
    st.dictionaries(st.sampled_from(["retry-after", "x-request-id"]), latin),
)
def test_what_the_platform_answers(call: Any, status: int, body: bytes, headers: dict[str, str]) -> None:
    outcome = call.read(PlatformResponse(status, headers, body))
    if not 200 <= status < 300:
        assert isinstance(outcome, Base44Error)
    if isinstance(outcome, Base44Error):
        assert len(str(outcome)) <= 500
        assert str(outcome).isprintable()


@given(st.text(max_size=30) | st.sampled_from(["nan", "inf", "-1", "1e400", "9" * 400]))
def test_retry_after(value: str) -> None:
    seconds = parse_retry_after(value)
    assert seconds is None or 0 <= seconds <= 86_400


@given(st.text(st.characters(max_codepoint=255), max_size=100) | near)
@example("e30." + "W" * 4000 + ".x")
def test_tokens(text: str) -> None:
    token = Token(Secret(text))
    assert (token.claims is None) == (token.header is None)
    assert isinstance(token.expiry, float | None)
    token.dead_reason(0.0)


@given(json_values)
@example({"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]})
@example({"keys": [{"kty": "EC", "crv": "P-256", "x": 1, "y": None}]})
@example({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AA"}]})
def test_jwks(document: object) -> None:
    keys = Keys(
        Settings(
            app_id="app",
            verification="keys",
            verification_key="https://keys.example/",
            algorithms=["RS256"],
            audience="a",
        ),
        Clock(),
    )
    keys.take(document)
    assert keys.failed


@given(st.sampled_from(VIEWS), st.binary(max_size=200), st.text(st.characters(max_codepoint=127), max_size=80))
@example(VIEWS[5], b"[" * 10_000, "")
@example(VIEWS[5], b'{"token": "\\ud800"}', "user=%FF")
def test_bodies_and_queries(view: Any, body: bytes, query: str) -> None:
    from base44_web._core.replies.visit import Visit

    visit = Visit(Incoming("POST", []), f"/{view.path}", Mounted("/"), OURS)
    ask = ViewRequest.of(view, visit, "calendar", query, body)
    assert ask.next().startswith("/")
    assert isinstance(ask.form, dict)
    if b"user" in body and b"user=u1" not in body:
        from base44_web._core.values import AppUser

        ask.is_of(AppUser("u1", None, None, None, is_verified=True, app_id="app", raw={}))


@given(latin)
def test_seals(text: str) -> None:
    assert SEAL.open(Secret(text)) is None
