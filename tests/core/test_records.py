"""What the platform may leave out of an answer: what is known from the reference client's mock only, or optional.

Each field of each record is taken away, and is null, one at a time.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import pytest

from base44_web import Base44, Base44Error
from base44_web.testing import CALENDAR_ID, Emulator, Fault
from tests.drivers import environment

Ask = Callable[[Base44], Any]
URL = "https://provider.example/o?state=s"


def shared(base44: Base44) -> Any:
    return base44.as_service_role.connectors.get_connection("slack")


def own(base44: Base44) -> Any:
    return base44.as_service_role.connectors.get_current_app_user_connection(CALENDAR_ID)


def connect(base44: Base44) -> Any:
    return base44.connectors.connect_app_user(CALENDAR_ID)


def disconnect(base44: Base44) -> Any:
    return base44.connectors.disconnect_app_user(CALENDAR_ID)


def proxied(base44: Base44) -> Any:
    return base44.as_service_role.connectors.call_api("x", path="/")


# What is asked, the whole record, and for each field what comes of it: an error's name, or what the result then has.
RECORDS: list[tuple[Ask, dict[str, Any], dict[str, Any]]] = [
    (shared, {"access_token": "t", "integration_type": "slack", "connection_config": {"team": "T1"}},
     {"access_token": "InvalidResponseError", "integration_type": None, "connection_config": None}),
    (connect, {"redirect_url": URL, "connection_id": "c", "already_authorized": False},
     {"redirect_url": "InvalidResponseError", "connection_id": URL, "already_authorized": URL}),
    (connect, {"redirect_url": None, "connection_id": "c", "already_authorized": True},
     dict.fromkeys(("redirect_url", "connection_id", "already_authorized"), "AlreadyConnectedError")),
    (disconnect, {"status": "disconnected", "connector_id": CALENDAR_ID}, {"status": None, "connector_id": None}),
    (proxied,
     {"success": True, "phase": "responded", "status_code": 200, "data": {"a": 1}, "data_base64": "aGk=",
      "content_type": "text/plain", "headers": {"a": "b"}, "credits_charged": 2},
     {"success": "InvalidResponseError", "phase": "InvalidResponseError", "status_code": ("status", None), "data": None,
      "data_base64": None, "content_type": None, "headers": {}, "credits_charged": 0}),
    (Base44.user,
     {"id": "u1", "email": "ada@test.example", "full_name": "Ada", "role": "user", "is_verified": True,
      "app_id": "demo-app", "is_service": False, "disabled": False, "team": "custom"},
     {"id": "InvalidResponseError", "email": None, "full_name": None, "role": None, "is_verified": False,
      "app_id": "AuthenticationError", "is_service": ("id", "u1"), "disabled": ("id", "u1"), "team": ("id", "u1")}),
]  # fmt: skip


def client(emulator: Emulator, **options: Any) -> Base44:
    return Base44(
        app_id=emulator.app_id,
        service_token=emulator.service_token,
        token=emulator.sign_in(emulator.add_user("ada@test.example")),
        transport=emulator.transport,
        **options,
    )


def test_records_without_a_field(emulator: Emulator, subtests: pytest.Subtests) -> None:
    for ask, record, fields in RECORDS:
        assert fields.keys() == record.keys()
        for name, expected in fields.items():
            for less in ({key: value for key, value in record.items() if key != name}, {**record, name: None}):
                with subtests.test(call=ask.__name__, field=name, record=less):
                    emulator.fault(Fault(status=200, body=json.dumps(less).encode()))
                    with client(emulator) as base44:
                        check(base44, ask, name, expected)


def check(base44: Base44, ask: Ask, name: str, expected: Any) -> None:
    if isinstance(expected, str) and expected.endswith("Error"):
        with pytest.raises(Base44Error) as caught:
            ask(base44)
        assert type(caught.value).__name__ == expected
        return
    result = ask(base44)
    if ask in (connect, disconnect):
        assert result == expected
    else:
        attribute, value = expected if isinstance(expected, tuple) else (name, expected)
        assert attrgetter(attribute)(result) == value


# Errors go by status and route: their bodies and codes are a mock's.
ERRORS: list[tuple[Ask, int, str]] = [
    (shared, 401, "AuthenticationError"), (shared, 402, "CreditsExhaustedError"), (shared, 403, "PermissionDeniedError"),
    (shared, 404, "NotConnectedError"), (own, 404, "NotConnectedError"), (shared, 409, "ConflictError"),
    (connect, 404, "NotFoundError"), (disconnect, 404, "NotFoundError"), (proxied, 404, "NotFoundError"),
    (shared, 422, "ValidationError"), (shared, 429, "RateLimitError"), (shared, 500, "ServerError"),
]  # fmt: skip


def test_errors_that_say_nothing(emulator: Emulator, subtests: pytest.Subtests) -> None:
    with environment(BASE44_MAX_RETRIES="0"):
        for ask, status, expected in ERRORS:
            for body in (b"", b"{}", b"null", b'{"detail": null, "code": null}'):
                with subtests.test(call=ask.__name__, status=status, body=body), client(emulator) as base44:
                    emulator.fault(Fault(status=status, body=body), path="*connect*" if ask is not shared else "*")
                    with pytest.raises(Base44Error) as caught:
                        ask(base44)
                    assert type(caught.value).__name__ == expected
                    assert caught.value.status == status
                    assert str(caught.value)
