"""A canary in every place where a credential can be, looked for in every place where none may be."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import itertools
import json
import os
import pickle
from typing import Any

import httpx2
import pytest

from base44_web import (
    AsyncBase44,
    Base44,
    Base44Error,
    ConfigurationError,
    HttpxTransports,
    Secret,
    Settings,
)
from base44_web._core.engine.context import Context
from base44_web._core.engine.engine import Engine
from base44_web._core.incoming.read import read_caller
from base44_web._core.incoming.request import Incoming
from base44_web.testing import CALENDAR_ID, Emulator, Fault
from tests.canaries import (
    CALLS,
    CANARY,
    FAULTS,
    SERVICE,
    STATE,
    TOKEN,
    canary_settings,
    clean,
    frames_are_clean,
)
from tests.drivers import environment

pytest.importorskip("cryptography")  # for the session


def values() -> dict[str, Any]:
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


def test_values(subtests: pytest.Subtests) -> None:
    for name, value in values().items():
        with subtests.test(name):
            is_opaque(value)


def is_opaque(value: Any) -> None:
    for text in (repr(value), str(value), f"{value}", f"{value!r:>5}", "%s %r" % (value, value), [value], {"a": value}):
        clean(text)
    clean(getattr(value, "__dict__", ""))
    for serialise in (pickle.dumps, json.dumps, copy.copy, copy.deepcopy, vars):
        try:
            clean(serialise(value))
        except TypeError as error:
            clean(error)


def test_errors(platform: str, emulator: Emulator, caplog: pytest.LogCaptureFixture, subtests: pytest.Subtests) -> None:
    caplog.set_level(1)
    for name in ("httpx2", "httpx", "httpcore2", "httpcore", "hpack", "base44_web"):
        caplog.set_level(1, name)
    for number, fault in enumerate(FAULTS):
        with subtests.test(number=number):
            caplog.clear()
            emulator.clear_faults()
            shows_nothing(platform, emulator, fault, caplog)


def shows_nothing(platform: str, emulator: Emulator, fault: Fault, caplog: pytest.LogCaptureFixture) -> None:
    emulator.fault(fault, times=None)
    settings = canary_settings(platform, timeout=0.5 if fault.delay else 60)

    def made(base44: Any, module: str, method: str, args: list[str]) -> Any:
        places = {"service": lambda: base44.as_service_role.connectors, "user": lambda: base44.connectors}
        return getattr(places.get(module, lambda: base44)(), method)(*args)

    async def ask(*call: Any) -> None:
        async with AsyncBase44(settings=settings, token=TOKEN) as base44:
            await made(base44, *call)

    def ask_blocking(*call: Any) -> None:
        with Base44(settings=settings, token=TOKEN) as base44:
            made(base44, *call)

    for attempt, wanted in itertools.product((ask_blocking, lambda *call: asyncio.run(ask(*call))), CALLS):
        try:
            attempt(*wanted)
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
        engine = Engine(canary_settings(platform, token_sources=["header", "cookie", "session"]))
        with pytest.raises(Base44Error) as caught:
            read_caller(Incoming("GET", headers), settings, engine.seal)
        frames_are_clean(caught.value)


WRONG: list[dict[str, Any]] = [
    {"service_token": f"{CANARY} \n"}, {"secret": ["s" * 40, 7, CANARY]}, {"verification_key": f"http://{CANARY}.example"},
    {"service_token": SERVICE, "timeout": -1}, {"secret": CANARY, "token_sources": ["header", "session"]},
    {"verification": "keys", "verification_key": CANARY, "algorithms": ["HS256"]},
    {"verification": "keys", "verification_key": f"-----BEGIN {CANARY}", "algorithms": ["RS256"], "audience": "a"},
]  # fmt: skip


def test_settings_that_are_wrong(subtests: pytest.Subtests) -> None:
    for fields in WRONG:
        given = {name: value for name, value in fields.items() if isinstance(value, str)}
        others = {name: value for name, value in fields.items() if name not in given}
        variables = {f"BASE44_{name.upper()}": value for name, value in given.items()}
        with subtests.test(fields=fields):
            with pytest.raises(ConfigurationError) as caught:
                Base44(settings=Settings(app_id="a", **fields))
            frames_are_clean(caught.value)
            with environment(**variables), pytest.raises(ConfigurationError) as caught:
                Base44(settings=Settings(app_id="a", **others))
            frames_are_clean(caught.value)


def test_secrets_that_are_no_text(subtests: pytest.Subtests) -> None:
    """An octet of the environment that is no UTF-8 arrives as half a surrogate, which nothing can encode."""
    secret = f"{CANARY * 3}\udce9"
    for name in ("secret", "verification_key", "relay_keys", "replay_store"):
        with subtests.test(name):
            given: Any = {"k1": secret} if name == "relay_keys" else secret
            with pytest.raises(ConfigurationError, match=name) as caught:
                Base44(settings=Settings(app_id="a", **{name: given}))
            frames_are_clean(caught.value)


def test_headers_of_http2_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """hpack logs each header it encodes; a client of the user's can speak HTTP/2."""
    hpack = pytest.importorskip("hpack")
    HttpxTransports(client=lambda: httpx2.Client()).open().close()
    for name in ("hpack", "hpack.hpack", "hpack.table"):
        caplog.set_level(1, name)
    caplog.set_level(1)
    hpack.Encoder().encode([(b"authorization", f"Bearer {TOKEN}".encode())])
    clean(caplog.text)


def test_the_environment_is_as_it_was() -> None:
    assert not any(CANARY in value for value in os.environ.values())


ECHOES: list[tuple[int, Any]] = [
    (502, {"message": "bad gateway for {}"}),
    (500, {"error": {"message": "{}", "code": "{}"}}),
    (401, {"detail": "invalid token {}"}),
    (422, {"detail": [{"loc": ["header", "{}"], "msg": "{}"}]}),
    (400, {"detail": {"request": {"headers": {"{}": ["{}", {"x": "a{}b"}]}}}}),
    (403, "{}"),
    (503, ["{}", [["{}"]]]),
    (404, {"message": 7, "data": "{}{}"}),
]


def test_credentials_that_an_answer_echoes(emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """As a gateway's debug page does."""
    caplog.set_level("DEBUG", logger="base44_web")
    engine = Engine(canary_settings("https://base44.app", verification="none"), emulator.transport)
    client = Base44._for(Context(engine, Incoming("POST", [("authorization", f"Bearer {TOKEN}")])))
    for (status, document), credential in itertools.product(
        ECHOES, (TOKEN, f"Bearer {TOKEN}", SERVICE, f"Bearer {SERVICE}")
    ):
        emulator.clear_faults()
        emulator.fault(Fault(status=status, body=json.dumps(document).replace("{}", credential).encode()), times=None)
        asks: list[Any] = [lambda: client.as_service_role.connectors.get_current_app_user_connection(CALENDAR_ID)]
        if credential.endswith(TOKEN):  # all that this call sends
            asks.append(lambda: client.connectors.connect_app_user(CALENDAR_ID))
        for ask in asks:
            with pytest.raises(Base44Error) as caught:
                ask()
            error = caught.value
            clean([str(error), error.message, error.data, error.code, error])
    clean(caplog.text)


def test_no_debug_log_of_the_libraries_has_the_headers_of_an_answer(
    platform: str, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    """A `Location` or a `Set-Cookie` of the platform can be a credential."""
    caplog.set_level(1)
    for name in ("httpcore", "httpcore2", "httpcore.http11", "httpcore2.http11", "httpx", "httpx2"):
        caplog.set_level(1, name)
    headers = {"Set-Cookie": f"a={CANARY}", "Location": f"https://x/{CANARY}", "X-Leak": CANARY}
    emulator.fault(Fault(headers=headers), times=None)
    settings = canary_settings(platform)

    async def ask(transport: Any) -> None:
        async with AsyncBase44(settings=settings, transport=transport) as base44:
            await base44.as_service_role.connectors.get_connection("slack")

    libraries = [None, "httpx2", "httpx"]
    for library in libraries:
        transport: Any = None
        if library is not None:
            module = pytest.importorskip(library)
            transport = HttpxTransports(client=module.Client, async_client=module.AsyncClient)
        caplog.clear()
        with contextlib.suppress(Base44Error), Base44(settings=settings, transport=transport) as base44:
            base44.as_service_role.connectors.get_connection("slack")
        with contextlib.suppress(Base44Error):
            asyncio.run(ask(transport))
        assert "receive_response_body" in caplog.text  # the libraries do log
        clean(caplog.text)
