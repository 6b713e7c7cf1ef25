"""What holds a credential: opaque, not serialisable, and usable as `auth=`."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import traceback
from typing import Any

import pytest

from base44_web import (
    ApiResponse,
    AsyncBase44,
    Base44,
    ConfigurationError,
    Connection,
    RateLimitError,
    Secret,
    Settings,
    UnverifiedClaims,
)
from base44_web._core.claims import Token
from base44_web._core.incoming.caller import Caller
from base44_web._core.incoming.request import Incoming
from base44_web._core.transport.message import PlatformRequest, PlatformResponse
from base44_web.testing import CALENDAR_ID, Emulator
from tests.serving import PATIENCE

CANARY = "c4n4ry.token.value"


def holders() -> list[Any]:
    secret = Secret(CANARY)
    client = Base44(app_id="a", token=CANARY, service_token=CANARY)
    return [
        secret,
        Connection(secret, {"k": CANARY}, "slack"),
        Settings(app_id="a", service_token=CANARY),
        Caller("a", "https://x", "https://x", Token(secret), secret, secret),
        Incoming("GET", [("authorization", CANARY), ("cookie", CANARY)]),
        PlatformRequest("GET", "https://x", (("Authorization", secret),), b""),
        PlatformResponse(200, {}, CANARY.encode()),
        client,
        client.aio,
        client.connectors,
        client.as_service_role,
        client.as_service_role.connectors,
        client.aio.connectors,
        AsyncBase44(app_id="a", token=CANARY).sync,
    ]


def test_opaque(subtests: pytest.Subtests) -> None:
    for holder in holders():
        with subtests.test(type(holder).__name__):
            is_opaque(holder)


def is_opaque(holder: Any) -> None:
    for shown in (
        repr(holder),
        str(holder),
        f"{holder}",
        "%s" % holder,
        f"{holder!r}",
        repr([holder]),
        repr({1: holder}),
    ):
        assert CANARY not in shown
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError):
            pickle.dumps(holder, protocol)
    with pytest.raises(TypeError):
        json.dumps(holder)
    with pytest.raises(TypeError):
        vars(holder)
    assert copy.copy(holder) is holder
    assert copy.deepcopy(holder) is holder


def test_secrets_compare_by_value_and_only_with_secrets() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1


def test_a_wrong_token_is_not_in_the_traceback() -> None:
    for make in (
        lambda: Base44(app_id="a", token=CANARY + " x"),
        lambda: Base44(app_id="a", service_token=CANARY + "\n"),
        lambda: Base44(app_id="a", token=CANARY.encode()),  # type: ignore[arg-type]
        lambda: Base44(app_id="a", service_token=CANARY.encode()),  # type: ignore[arg-type]
        lambda: Settings.load(None, {"app_id": "a", "service_token": CANARY.encode()}),
        lambda: Settings(app_id="a", service_token=CANARY + " x"),
        lambda: Settings.load(None, {"app_id": "a", "service_token": CANARY + " x"}),
    ):
        with pytest.raises(ConfigurationError) as caught:
            make()
        frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True).stack
        ours = [frame for frame in frames if "base44_web" in frame.filename]
        assert ours
        assert not [frame for frame in ours if CANARY in str(frame.locals)]


@pytest.mark.parametrize("library", ["httpx2", "httpx"])
def test_a_connection_is_auth(emulator: Emulator, platform: str, library: str) -> None:
    lib = pytest.importorskip(library)
    token = emulator.connect(emulator.add_user("ada@test.example", events=["lunch"]), CALENDAR_ID)
    connection = Connection(Secret(token), None, "googlecalendar")
    url = f"{platform}/provider/calendar/v3/calendars/primary/events"
    assert lib.get(url, auth=connection, timeout=PATIENCE).json()["items"][0]["summary"] == "lunch"
    assert lib.get(url, timeout=PATIENCE).status_code == 401


def test_errors_survive_pickling() -> None:
    error = RateLimitError("slow down", retry_after=3.0, code="x", data={"detail": "slow down"})
    twin = pickle.loads(pickle.dumps(error))
    assert (twin.message, twin.status, twin.code, twin.data, twin.retry_after) == (
        "slow down",
        429,
        "x",
        error.data,
        3.0,
    )


def test_values_are_frozen() -> None:
    response = ApiResponse(success=True, phase="responded")
    with pytest.raises(AttributeError):
        response.success = False  # type: ignore[misc]
    connection = Connection(Secret("t"), {"a": "b"}, None)
    with pytest.raises(TypeError):
        connection.connection_config["a"] = "c"  # type: ignore[index]
    assert connection.connection_config == {"a": "b"}


def test_deprecated_methods_warn_at_the_callers_line(emulator: Emulator) -> None:
    token = emulator.share("slack")
    with (
        Base44(app_id=emulator.app_id, service_token=emulator.service_token, transport=emulator.transport) as base44,
        pytest.warns(DeprecationWarning, match="get_connection") as caught,
    ):
        assert base44.as_service_role.connectors.get_access_token("slack") == token
    assert caught[0].filename == __file__


def test_call_api_takes_any_mapping(emulator: Emulator) -> None:
    from types import MappingProxyType

    with Base44(app_id=emulator.app_id, service_token=emulator.service_token, transport=emulator.transport) as base44:
        proxy = MappingProxyType({"a": "b"})
        base44.as_service_role.connectors.call_api("x", path="/", query=proxy, headers=proxy)
    sent = json.loads(emulator.requests[0].body)
    assert sent["query"] == sent["headers"] == {"a": "b"}


def test_every_deprecated_method_warns(emulator: Emulator) -> None:
    user = emulator.add_user("ada@test.example")
    shared, own = emulator.share("slack"), emulator.connect(user, CALENDAR_ID)
    options: dict[str, Any] = {
        "app_id": emulator.app_id, "token": emulator.sign_in(user), "service_token": emulator.service_token,
        "transport": emulator.transport,
    }  # fmt: skip

    async def main() -> None:
        async with AsyncBase44(**options) as base44:
            connectors = base44.as_service_role.connectors
            with pytest.warns(DeprecationWarning, match="use get_connection"):
                assert await connectors.get_access_token("slack") == shared
            with pytest.warns(DeprecationWarning, match="use get_current_app_user_connection"):
                assert await connectors.get_current_app_user_access_token(CALENDAR_ID) == own

    asyncio.run(main())
    with Base44(**options) as base44, pytest.warns(DeprecationWarning, match="use get_current_app_user_connection"):
        assert base44.as_service_role.connectors.get_current_app_user_access_token(CALENDAR_ID) == own


def test_what_a_connection_and_claims_hold() -> None:
    assert Connection(Secret("t"), None, "slack").integration_type == "slack"
    claims = UnverifiedClaims({"sub": "ada", "exp": 1})
    assert dict(claims) == {"sub": "ada", "exp": 1}
    assert len(claims) == 2
