"""A canary in every place where a credential can be, looked for in every place where none may be."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import os
import pickle
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from base44_web import AsyncBase44, Base44, Base44Error, ConfigurationError, HttpxTransports, Settings
from base44_web._core.incoming.read import read_caller
from base44_web._core.incoming.request import Incoming
from base44_web._core.secret import Secret
from base44_web.testing import CALENDAR_ID, Emulator, Fault
from tests.drivers import Driver, encode_call
from tests.test_servers import app_environment, serving

CANARY = "canary0Secret"
SESSION = f"{CANARY}-session-{'s' * 30}"
KEY = f"{CANARY}-key-{'k' * 30}"
STATE = f"{CANARY}-state"
SERVICE = f"{CANARY}-service"
TOKEN = f"eyJhbGciOiJIUzI1NiJ9.e30.{CANARY}-user"
BODY = json.dumps({"access_token": f"{CANARY}-provider\n", "redirect_url": f"https://u@p.example/{CANARY}"}).encode()


def canary_settings(url: str, **more: Any) -> Settings:
    return Settings(
        app_id="demo-app", server_url=url, service_token=SERVICE, secret=SESSION, verification_key=KEY,
        app_user_connectors={"calendar": CALENDAR_ID}, max_retries=0, timeout=1, **more,
    )  # fmt: skip


def clean(text: object) -> None:
    assert CANARY not in str(text), str(text)[max(0, str(text).index(CANARY) - 300) :][:600]


def frames_are_clean(error: BaseException) -> None:
    """The locals of our frames, as error reporters show them: their repr."""
    seen: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        each = pending.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        clean(repr(each) + str(each) + repr(each.args) + repr(vars(each)))
        for frame, _ in traceback.walk_tb(each.__traceback__):
            if "base44_web" in frame.f_code.co_filename and "tests" not in frame.f_code.co_filename:
                for name, value in frame.f_locals.items():
                    clean(f"{frame.f_code.co_qualname} {name} {value!r}")
        pending += [each.__cause__, each.__context__]


# --- values


def values() -> dict[str, Any]:
    from base44_web._core.engine.context import Context
    from base44_web._core.engine.engine import Engine
    from base44_web._core.platform.wire import connect_app_user, get_connection
    from base44_web._core.replies.reply import Reply
    from base44_web._core.transport.message import PlatformRequest, PlatformResponse
    from base44_web._core.values import Connection

    settings = canary_settings("https://base44.app", token_sources=["header", "session"])
    headers = [("authorization", f"Bearer {TOKEN}"), ("cookie", CANARY), ("base44-state", STATE)]
    incoming = Incoming("GET", headers)
    caller = read_caller(incoming, settings)
    engine = Engine(settings)
    assert engine.seal is not None
    client = AsyncBase44._for(Context(engine, caller))
    return {
        "secret": Secret(CANARY), "settings": settings, "incoming": incoming, "caller": caller, "engine": engine,
        "context": Context(engine, incoming), "client": client, "sync": client.sync, "service": client.as_service_role,
        "connectors": client.connectors, "service connectors": client.as_service_role.connectors, "seal": engine.seal,
        "call": get_connection(caller, "slack"), "user call": connect_app_user(caller, CALENDAR_ID),
        "request": PlatformRequest("GET", "https://a/", (("Authorization", Secret(CANARY)),), CANARY.encode()),
        "response": PlatformResponse(200, {}, CANARY.encode()), "connection": Connection(Secret(CANARY), {"a": CANARY}, "slack"),
        "reply": Reply(303, {"Location": CANARY}, CANARY.encode()),
    }  # fmt: skip


@pytest.mark.parametrize("name", values())
def test_values(name: str) -> None:
    value = values()[name]
    for text in (repr(value), str(value), f"{value}", f"{value!r:>5}", "%s %r" % (value, value), [value], {"a": value}):
        clean(text)
    clean(getattr(value, "__dict__", ""))
    for serialise in (pickle.dumps, json.dumps, copy.copy, copy.deepcopy, vars):
        try:
            clean(serialise(value))
        except TypeError as error:
            clean(error)


# --- errors

FAULTS = [
    Fault(status=500, body=BODY), Fault(status=401, headers={"X-Leak": CANARY}), Fault(status=200, body=BODY), Fault(drop="during", body=BODY),
    Fault(delay=3), Fault(raw=f"HTTP/1.1 200 {CANARY}\r\nA".encode()), Fault(raw=CANARY.encode()), Fault(status=200, body=BODY[:-3]),
    Fault(status=302, headers={"Location": f"https://x/{CANARY}"}), Fault(status=200, headers={"Content-Encoding": "gzip"}, body=BODY),
]  # fmt: skip
CALLS: list[tuple[str, str, list[str]]] = [
    ("service", "get_connection", ["slack"]),
    ("service", "get_current_app_user_connection", [CALENDAR_ID]),
    ("user", "connect_app_user", [CALENDAR_ID]),
    ("user", "disconnect_app_user", [CALENDAR_ID]),
    ("client", "user", []),
]


@pytest.mark.parametrize("fault", FAULTS, ids=range(len(FAULTS)))
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call[1])
def test_errors(platform: str, emulator: Emulator, fault: Fault, call: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)
    for name in ("httpx2", "httpx", "httpcore2", "httpcore", "hpack", "base44_web"):
        logging.getLogger(name).setLevel(1)
    emulator.fault(fault, times=None)
    module, method, args = call
    settings = canary_settings(platform)

    def target(base44: Any) -> Any:
        return {"service": lambda: base44.as_service_role.connectors, "user": lambda: base44.connectors}.get(
            module, lambda: base44
        )()

    async def ask() -> None:
        async with AsyncBase44(settings=settings, token=TOKEN) as base44:
            await getattr(target(base44), method)(*args)

    def ask_blocking() -> None:
        with Base44(settings=settings, token=TOKEN) as base44:
            getattr(target(base44), method)(*args)

    for attempt in (ask_blocking, lambda: asyncio.run(ask())):
        try:
            attempt()
        except Base44Error as error:
            error.data = None  # the platform's own words in an error answer are not ours to judge
            if not (fault.status == 500 and fault.body):
                frames_are_clean(error)
    sent = [record.getMessage() for record in caplog.records]
    assert any("/api/apps" in message or "connect_tcp" in message for message in sent)
    for record in caplog.records:
        if "receive_response_headers" not in record.getMessage():  # what the platform itself sent
            clean(record.getMessage())


def test_what_came_in_malformed(platform: str) -> None:
    settings = canary_settings(platform, token_sources=["header", "cookie", "session"])
    for headers in (
        [("authorization", f"Basic {CANARY}")], [("authorization", f"Bearer {CANARY} x")], [("authorization", CANARY)],
        [("authorization", f"Bearer {CANARY}{'x' * 9000}")], [("authorization", f"Bearer {CANARY}")] * 2,
        [("cookie", f"base44_access_token={CANARY} x")], [("cookie", f"__Host-base44_session={CANARY}")],
        [("cookie", f"base44_access_token={CANARY}; base44_access_token={CANARY}")],
    ):  # fmt: skip
        from base44_web._core.engine.engine import Engine

        engine = Engine(canary_settings(platform, token_sources=["header", "cookie", "session"]))
        with pytest.raises(Base44Error) as caught:
            read_caller(Incoming("GET", headers), settings, engine.seal)
        frames_are_clean(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"service_token": f"{CANARY} \n"}, {"secret": ["s" * 40, 7, CANARY]}, {"verification_key": f"http://{CANARY}.example"},
        {"service_token": SERVICE, "timeout": -1}, {"secret": CANARY, "token_sources": ["header", "session"]},
        {"verification": "keys", "verification_key": CANARY, "algorithms": ["HS256"]},
        {"verification": "keys", "verification_key": f"-----BEGIN {CANARY}", "algorithms": ["RS256"], "audience": "a"},
    ],
)  # fmt: skip
def test_settings_that_are_wrong(fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Base44(settings=Settings(app_id="a", **fields))
    frames_are_clean(caught.value)
    given = {name: value for name, value in fields.items() if isinstance(value, str)}
    for name, value in given.items():
        monkeypatch.setenv(f"BASE44_{name.upper()}", value)
    with pytest.raises(ConfigurationError) as caught:
        Base44(settings=Settings(app_id="a", **{name: value for name, value in fields.items() if name not in given}))
    frames_are_clean(caught.value)


@pytest.mark.parametrize("name", ["secret", "verification_key", "relay_keys", "replay_store"])
def test_secrets_that_are_no_text(name: str) -> None:
    """An octet of the environment that is no UTF-8 arrives as half a surrogate, which nothing can encode."""
    secret = f"{CANARY * 3}\udce9"
    given: Any = {"k1": secret} if name == "relay_keys" else secret
    with pytest.raises(ConfigurationError, match=name) as caught:
        Base44(settings=Settings(app_id="a", **{name: given}))
    frames_are_clean(caught.value)


def test_headers_of_http2_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """hpack logs each header it encodes; a client of the user's can speak HTTP/2."""
    hpack = pytest.importorskip("hpack")
    HttpxTransports(client=lambda: httpx2.Client()).open().close()
    for name in ("hpack", "hpack.hpack", "hpack.table"):
        logging.getLogger(name).setLevel(1)
    caplog.set_level(1)
    hpack.Encoder().encode([(b"authorization", f"Bearer {TOKEN}".encode())])
    clean(caplog.text)


# --- error reporters and debug pages


@pytest.mark.parametrize(
    ("server", "driver"),
    [("uvicorn", "starlette-async"), ("uvicorn", "fastapi-sync"), ("uvicorn", "django-asgi-async"), ("gunicorn", "flask-sync"),
     ("gunicorn", "django-wsgi-sync")],
)  # fmt: skip
def test_sentry(server: str, driver: str, emulator: Emulator, platform: str, tmp_path: Path) -> None:
    for module in ("sentry_sdk", server, driver.partition("-")[0]):
        pytest.importorskip(module)
    events = tmp_path / "events"
    environment = app_environment(emulator, platform, driver) | {
        "TEST_SENTRY": str(events), "BASE44_SERVICE_TOKEN": SERVICE, "BASE44_TIMEOUT": "1", "BASE44_MAX_RETRIES": "0",
        "BASE44_PLATFORM_HEADERS": "trust", "BASE44_ALLOWED_API_URLS": platform,
    }  # fmt: skip
    headers = [
        ("authorization", f"Bearer {TOKEN}"), ("base44-app-id", emulator.app_id), ("base44-api-url", platform),
        ("base44-service-authorization", f"Bearer {SERVICE}"), ("base44-state", STATE),
    ]  # fmt: skip
    prefix = f"/{driver.rpartition('-')[2]}" if driver.startswith("django") else ""
    with serving(server, environment, tmp_path / "output") as (url, _):
        for fault in (Fault(status=200, body=BODY), Fault(drop="during", body=BODY), Fault(delay=3)):
            emulator.fault(fault, times=None)
            for module, method, args in CALLS[:3]:
                call = encode_call(module, method, args, {})
                httpx2.post(f"{url}{prefix}/escape", headers=[*headers, *call], timeout=20)
            emulator.clear_faults()
    found = [json.loads(line) for line in events.read_text().splitlines()]
    ours = 0
    for event in found:
        clean(event.get("logentry", ""))
        clean(event.get("breadcrumbs", ""))
        clean(event.get("request", ""))
        for value in event.get("exception", {}).get("values", []):
            clean(value["value"])
            for frame in value["stacktrace"]["frames"]:
                if (frame.get("module") or "").startswith("base44_web"):
                    ours += 1
                    clean(json.dumps(frame.get("vars", {})))
    assert ours > 20  # there was something to look at


@pytest.fixture
def django_debug() -> Iterator[None]:
    pytest.importorskip("django")
    from django.test import override_settings

    from tests.drivers import configure_django

    configure_django()
    with override_settings(
        DEBUG=True, DEFAULT_EXCEPTION_REPORTER_FILTER="base44_web.django.debug.Base44ReporterFilter",
        BASE44={"SERVICE_TOKEN": SERVICE, "SECRET": SESSION},
    ):  # fmt: skip
        yield


def test_djangos_debug_page(django_debug: None, platform: str, emulator: Emulator) -> None:
    from django.views.debug import get_default_exception_reporter_filter

    get_default_exception_reporter_filter.cache_clear()
    settings = canary_settings(
        platform, platform_headers="trust", allowed_api_urls=[platform], token_sources=["header", "session"]
    )
    emulator.fault(Fault(status=500), times=None)
    for name in ("django-wsgi-sync", "django-asgi-async"):
        driver = Driver(name, settings)
        headers = [
            ("authorization", f"Bearer {TOKEN}"), ("base44-state", STATE), ("cookie", f"__Host-base44_session={CANARY}"),
            ("base44-service-authorization", f"Bearer {SERVICE}"), ("base44-app-id", "demo-app"),
        ]  # fmt: skip
        page = driver.request("POST", "/escape", [*headers, *encode_call("service", "get_connection", ["slack"], {})])
        assert page.status_code == 500
        assert "ServerError" in page.text
        clean(page.text)
        driver.close()
    get_default_exception_reporter_filter.cache_clear()


def test_djangos_check_of_the_filter(django_debug: None) -> None:
    from django.core.checks import run_checks
    from django.test import override_settings

    base = {"APP_ID": "a", "APP_USER_CONNECTORS": {"calendar": "1"}, "SECRET": SESSION}
    middleware = ["tests.django_urls.Middleware"]
    with override_settings(BASE44={**base, "TOKEN_SOURCES": ["header", "session"]}, MIDDLEWARE=middleware):
        assert [message.id for message in run_checks()] == []
        with override_settings(DEFAULT_EXCEPTION_REPORTER_FILTER="django.views.debug.SafeExceptionReporterFilter"):
            assert [message.id for message in run_checks()] == ["base44_web.W002"]
    plain = "django.views.debug.SafeExceptionReporterFilter"
    with override_settings(BASE44=base, MIDDLEWARE=middleware, DEFAULT_EXCEPTION_REPORTER_FILTER=plain):
        assert [message.id for message in run_checks()] == []


def test_flasks_debug_page(platform: str, emulator: Emulator) -> None:
    pytest.importorskip("flask")
    from werkzeug.debug import DebuggedApplication

    settings = canary_settings(platform, platform_headers="trust", allowed_api_urls=[platform])
    driver = Driver("flask-sync", settings)
    driver.app.debug = True
    app = DebuggedApplication(driver.app, evalex=True)
    emulator.fault(Fault(status=200, body=BODY), times=None)
    headers = [("authorization", f"Bearer {TOKEN}"), ("base44-state", STATE)]
    transport = httpx2.WSGITransport(app=app, raise_app_exceptions=False)
    with httpx2.Client(transport=transport, base_url="http://localhost") as client:
        page = client.post("/escape", headers=[*headers, *encode_call("service", "get_connection", ["slack"], {})])
    driver.close()
    assert page.status_code == 500
    assert "InvalidResponseError" in page.text
    clean(page.text)


def test_answers_to_visitors(driver_name: str, platform: str, emulator: Emulator) -> None:
    driver = Driver(driver_name, canary_settings(platform))
    headers = [("authorization", f"Bearer {TOKEN}")]
    for fault in FAULTS:
        if fault.delay:
            continue
        emulator.fault(fault, times=None)
        for accept in ("application/json", "text/html"):
            for method, path in (("GET", "/guarded"), ("GET", "/me")):
                answer = driver.request(method, path, [*headers, ("accept", accept)])
                assert answer.status_code in (401, 503)
                clean(answer.text + str(answer.headers))
            for method, path in (("GET", "status"), ("POST", "connect"), ("POST", "disconnect"), ("GET", "connect")):
                answer = driver.send_view(method, f"/base44/{path}/calendar", [*headers, ("accept", accept)])
                clean(answer.text + str(answer.headers))
        emulator.clear_faults()
    driver.close()


def test_the_environment_is_as_it_was() -> None:
    assert not any(CANARY in value for value in os.environ.values())
