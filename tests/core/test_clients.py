"""Clients without a framework."""

from __future__ import annotations

import asyncio
import json
from enum import Enum
from typing import Any

import pytest

from base44_web import (
    AppUser,
    AsyncBase44,
    AuthenticationError,
    Base44,
    ConfigurationError,
    InvalidResponseError,
    NotFoundError,
    Settings,
)
from base44_web._core.engine.context import Context
from base44_web._core.engine.engine import Engine
from base44_web._core.incoming.request import Incoming
from base44_web._core.urls import check_identifier, encode_segment
from base44_web.testing import CALENDAR_ID, Emulator, Fault
from tests.checks import Headers, bearer


def test_without_a_framework(emulator: Emulator) -> None:
    user = emulator.add_user("ada@test.example")
    options: dict[str, Any] = {
        "app_id": emulator.app_id, "token": emulator.sign_in(user), "service_token": emulator.service_token,
        "data_env": "dev", "transport": emulator.transport,
    }  # fmt: skip
    with Base44(**options) as base44:
        found = base44.user()
        assert found is not None
        assert found.id == user.id

    async def main() -> None:
        async with AsyncBase44(**options) as base44:
            assert (await base44.as_service_role.connectors.get_connection("slack")).access_token
            again = await base44.user()
            assert again is not None

    asyncio.run(main())
    assert {request.header("x-data-env") for request in emulator.requests} == {"dev"}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "BASE44_APP_ID"),
    ({"app_id": "a", "token": "x y"}, "token"),
    ({"app_id": "a", "data_env": "staging"}, "data_env"),
    ({"app_id": "a", "settings": Settings(app_id="b")}, "settings"),
    ({"app_id": "a", "server_url": "http://base44.app"}, "BASE44_SERVER_URL"),
]


def test_without_a_framework_wrong_options(subtests: pytest.Subtests) -> None:
    for options, message in WRONG:
        for make in (Base44, AsyncBase44):
            with subtests.test(f"{make.__name__}, {message}"), pytest.raises(ConfigurationError, match=message):
                make(**options)


def client_of(emulator: Emulator, headers: Headers, **fields: Any) -> Base44:
    settings = Settings(app_id=emulator.app_id, service_token=emulator.service_token, **fields)
    return Base44._for(Context(Engine(settings, emulator.transport), Incoming("POST", headers)))


def test_the_service_role_without_a_user(emulator: Emulator) -> None:
    """For a webhook, or a page behind Basic: its own `Authorization` is not looked at, and goes nowhere."""

    async def awaiting(client: Base44) -> None:
        assert await client.aio.without_user().as_service_role.connectors.get_connection("slack")
        assert await client.aio.without_user().user() is None

    for authorization in (
        "Basic dXNlcjpwYXNz", "Bearer whsec_c4n4ry", "Bearer a b", "Bearer null", "Bearer e30.e30.x", "Digest c4n4ry", "", "Bearer",
    ):  # fmt: skip
        client = client_of(emulator, [("authorization", authorization)])
        nobody = client.without_user()
        assert nobody.as_service_role.connectors.get_connection("slack").access_token == emulator.share_token("slack")
        asyncio.run(awaiting(client))
        assert nobody.token is None
        assert nobody.user() is None
        with pytest.raises(AuthenticationError) as caught:
            nobody.connectors.connect_app_user("calendar")
        assert caught.value.code == "no_token"
    for request in emulator.requests:
        assert request.header("authorization") == f"Bearer {emulator.service_token}"
        assert request.header("on-behalf-of") is None


class Names(str, Enum):  # noqa: UP042 - not a StrEnum: an f-string shows the member, not its text
    SLACK = "slack"
    WORKSPACE = "workspace"
    CALENDAR = CALENDAR_ID


def test_names_that_are_members_of_an_enum(emulator: Emulator, ada: AppUser) -> None:
    emulator.share("slack")
    emulator.share_workspace("workspace")
    client = client_of(emulator, bearer(emulator.sign_in(ada)))
    assert f"{encode_segment(Names.SLACK)} {check_identifier(Names.SLACK, 'a name')!r}" == "slack 'slack'"
    connectors = client.as_service_role.connectors
    client.connectors.connect_app_user(Names.CALENDAR)
    emulator.connect(ada, CALENDAR_ID)
    assert connectors.get_connection(Names.SLACK).access_token
    assert connectors.get_connection("slack").access_token  # is what is kept
    assert sum("/tokens/slack" in request.target for request in emulator.requests) == 1
    assert connectors.get_workspace_connection(Names.WORKSPACE).access_token
    assert connectors.get_current_app_user_connection(Names.CALENDAR).access_token
    with pytest.raises(NotFoundError, match="'slack'"):
        connectors.call_api(Names.SLACK, path="/")
    client.connectors.disconnect_app_user(Names.CALENDAR)
    assert not [request.target for request in emulator.requests if "Names" in request.target]


def test_what_is_no_jwt_is_forwarded_to_nobody(emulator: Emulator) -> None:
    token = emulator.sign_in(emulator.add_user("ada@test.example"))
    for authorization, forwarded in (
        (f"Bearer {token}", True), ("Bearer whsec_c4n4ry", False), ("Bearer a.b.c", False), ("Bearer e30.e30.e30.e30", False),
    ):  # fmt: skip
        emulator.requests.clear()
        client_of(emulator, [("authorization", authorization)]).as_service_role.connectors.get_connection("slack")
        (request,) = emulator.requests
        assert (request.header("on-behalf-of") is not None) is forwarded, authorization
        assert "c4n4ry" not in str(request.headers)


def test_a_page_that_has_no_token_and_says_so(emulator: Emulator, subtests: pytest.Subtests) -> None:
    """What a script sends that joins `Bearer ` and nothing."""
    for word in ("null", "undefined"):
        with subtests.test(word):
            emulator.requests.clear()
            is_told_to_send_no_header(client_of(emulator, [("authorization", f"Bearer {word}")]))
            assert emulator.requests == []


def is_told_to_send_no_header(client: Base44) -> None:
    for ask in (
        lambda: client.user(), lambda: client.as_service_role.connectors.get_connection("slack"),
        lambda: client.connectors.connect_app_user("calendar"),
    ):  # fmt: skip
        with pytest.raises(AuthenticationError, match="should send no header"):
            ask()


def test_a_blocking_call_on_an_event_loop_is_warned_of(
    emulator: Emulator, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a minute; and where it is in its place, not."""
    client = client_of(emulator, [])
    client.as_service_role.connectors.get_connection("slack")

    async def awaiting() -> None:
        await client.aio.as_service_role.connectors.get_connection("slack")
        await asyncio.to_thread(client.as_service_role.connectors.get_connection, "slack")

    asyncio.run(awaiting())
    assert not [record for record in caplog.records if record.name == "base44_web"]

    async def blocking() -> None:
        for _ in range(3):
            client.as_service_role.connectors.get_connection("slack", fresh=True)

    asyncio.run(blocking())
    assert caplog.text.count("request.base44.aio") == 1


# --- where the platform sends a browser


READ: list[tuple[str, str | None]] = [
    ("https://p.example/o?state=s", "https://p.example/o?state=s"),
    ("https://p.example/o?scope=a b", "https://p.example/o?scope=a%20b"),
    (" https://p.example/o ", "https://p.example/o"),
    ("https://p.example/größe?q=ü#ö", "https://p.example/gr%C3%B6%C3%9Fe?q=%C3%BC#%C3%B6"),
    ("https://p.example/a%20b c%2Fd", "https://p.example/a%20b%20c%2Fd"),
    ("https://münchen.example/o", "https://xn--mnchen-3ya.example/o"),
    ("https://münchen.example:8443/o?a=b c", "https://xn--mnchen-3ya.example:8443/o?a=b%20c"),
    ("http://localhost:1/o?a=b c", "http://localhost:1/o?a=b%20c"),
    ("https://p.example/o?a=b\nc", None), ("https://p.example/o\t", None), ("https://p.example\\@evil.example/", None),
    ("http://münchen.example/o", None), ("https://ü@evil.example/", None), ("https://u:ü@evil.example/ä b", None),
    ("//evil.example/a b", None), ("javascript:alert(1) //ü", None), ("https:///a b", None), ("https://[::1/ü", None),
    ("https://p.example:x/ü", None), ("https://\u202eevil.example/", None), ("https://a b.example/", None),
    ("https://p.example/" + "ü" * 8000, None), ("ftp://münchen.example/", None), ("https://evil.example\u3002/\u00a0", None),
]  # fmt: skip


def test_where_a_browser_is_sent(emulator: Emulator) -> None:
    """What browsers would make of it; what they would not, or what hides where it leads, is refused."""
    client = client_of(emulator, bearer(emulator.sign_in(emulator.add_user("ada@test.example"))))
    for url, read in READ:
        emulator.fault(Fault(status=200, body=json.dumps({"redirect_url": url}).encode()), path="*/initiate")
        try:
            found: str | None = client.connectors.connect_app_user("calendar")
        except InvalidResponseError:
            found = None
        assert found == read, url
