"""The cache of connections, as requests see it in every framework."""

from __future__ import annotations

from typing import Any

import pytest

from base44_web import AppUser
from base44_web.testing import CALENDAR_ID, Emulator
from tests.checks import Headers, signed_in
from tests.drivers import CORE, FRAMEWORKS, Driver

pytestmark = pytest.mark.parametrize("driver_name", [*CORE, *FRAMEWORKS])


def asked(emulator: Emulator) -> int:
    """How often the platform was asked for a connection, since this was asked last."""
    count = sum("/token" in request.target for request in emulator.requests)
    emulator.requests.clear()
    return count


def token(driver: Driver, headers: Headers) -> Any:
    answer = driver.request("POST", "/guarded", headers)
    return answer.json()["access_token"] if answer.status_code == 200 else answer.status_code


def test_requests_share_what_is_one_users(make: Any, emulator: Emulator, ada: AppUser, adas: Headers) -> None:
    driver, graces = make(connection_ttl=30), signed_in(emulator, "grace@test.example")
    grace = emulator.add_user("grace@test.example")
    tokens = [emulator.connect(user, CALENDAR_ID) for user in (ada, grace)]
    for _ in range(3):
        assert [token(driver, headers) for headers in (adas, graces)] == tokens
        assert token(driver, []) == 401
    assert asked(emulator) == 2
    emulator.connect(ada, CALENDAR_ID)  # elsewhere
    assert [token(driver, headers) for headers in (adas, graces)] == tokens


def test_our_own_views_end_it(make: Any, emulator: Emulator, ada: AppUser, adas: Headers) -> None:
    driver = make(connection_ttl=30)
    old = emulator.connect(ada, CALENDAR_ID)
    assert token(driver, adas) == old
    emulator.disconnect(ada, CALENDAR_ID)
    status = driver.send_view("GET", "/base44/status/calendar", adas)
    assert status.json() == {"connected": False}  # it asks, whatever is kept
    emulator.connect(ada, CALENDAR_ID)
    assert driver.send_view("POST", "/base44/disconnect/calendar", adas).status_code == 200
    assert token(driver, adas) == 403
    new = emulator.connect(ada, CALENDAR_ID)
    assert token(driver, adas) == new
    assert driver.send_view("POST", "/base44/connect/calendar", adas).status_code in (200, 303)
    newer = emulator.connect(ada, CALENDAR_ID)  # another account, on the provider's pages
    assert token(driver, adas) == newer
