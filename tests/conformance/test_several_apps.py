"""Several Base44 apps in one server: each request its own app's, and nothing shared (case 16)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from base44_web import (
    Arrival,
    ConfigurationError,
    Settings,
    SettingsResolver,
)
from base44_web.testing import CALENDAR_ID, Emulator
from tests.checks import (
    FORM,
    SAME,
    bearer,
)
from tests.drivers import CORE, ONE_EACH, Driver

pytest.importorskip("cryptography")  # for the session
pytestmark = pytest.mark.drivers(*CORE, *ONE_EACH)
ONE, TWO = "one.example", "two.example"


@pytest.fixture
def platforms() -> Iterator[dict[str, tuple[Emulator, Settings]]]:
    with (
        Emulator(app_id="app-one") as first,
        Emulator(app_id="app-two") as second,
        first.serve() as a,
        second.serve() as b,
    ):
        found = {}
        for host, emulator, server in ((ONE, first, a), (TWO, second, b)):
            emulator.share("slack")
            settings = Settings(
                app_id=emulator.app_id, server_url=server.url, service_token=emulator.service_token,
                app_user_connectors={"calendar": CALENDAR_ID}, token_sources=["header", "session"],
                secret=f"the session secret of {emulator.app_id}, long enough",
            )  # fmt: skip
            found[host] = (emulator, settings)
        yield found


chosen: dict[str, Any] = {}


def choose(arrival: Arrival) -> Settings | None:
    chosen["last"] = arrival
    return chosen["settings"].get(arrival.app_id or arrival.host)  # type: ignore[no-any-return]


resolver = SettingsResolver(choose)


by_header = SettingsResolver(choose, allowed_app_ids=["app-one", "app-two"])


@pytest.fixture
def driver(driver_name: str, platforms: Any) -> Iterator[Driver]:
    chosen["settings"] = {host: settings for host, (_, settings) in platforms.items()}
    driver = Driver(driver_name, resolver, resolver=f"{__name__}.resolver")
    yield driver
    driver.close()


def test_each_request_is_its_own_apps(driver: Driver, platforms: Any) -> None:
    for host, (emulator, _) in platforms.items():
        other = TWO if host == ONE else ONE
        user = emulator.add_user("ada@test.example")
        token = emulator.connect(user, CALENDAR_ID)
        headers = bearer(emulator.sign_in(user))
        assert driver.request("GET", "/me", headers, host=host).json()["id"] == user.id
        assert driver.request("GET", "/guarded", headers, host=host).json()["access_token"] == token
        assert driver.request("GET", "/me", headers, host=other).status_code == 401
        assert driver.request("GET", "/guarded", headers, host=other).status_code == 401
        form = f"token={emulator.sign_in(user)}".encode()
        begun = driver.send_view("POST", "/base44/session", [SAME, FORM], form, host=host)
        cookie = [("cookie", begun.headers["set-cookie"].partition(";")[0])]
        assert driver.send_view("GET", "/base44/status/calendar", cookie, host=host).json() == {"connected": True}
        assert driver.send_view("GET", "/base44/status/calendar", cookie, host=other).status_code == 401
    for host, (emulator, _) in platforms.items():
        own = f"/api/apps/{emulator.app_id}/"
        assert all(request.target.startswith(own) for request in emulator.requests), host
        for request in emulator.requests:
            service = request.header("on-behalf-of") and request.header("authorization")
            assert service in (None, f"Bearer {emulator.service_token}")


def test_apps_that_are_not_served(driver: Driver, platforms: Any) -> None:
    answer = driver.request("GET", "/me", host="evil.example")
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:base44-web:unknown-app"
    # No header chooses, where none is allowed to: anybody could send it.
    answer = driver.request("GET", "/me", [("base44-app-id", "app-one")], host="evil.example")
    assert answer.status_code == 404
    assert chosen["last"].app_id is None
    assert all(emulator.requests == [] for emulator, _ in platforms.values())


def test_a_header_that_chooses(driver_name: str, platforms: Any) -> None:
    chosen["settings"] = {settings.app_id: settings for _, settings in platforms.values()}
    with closing(Driver(driver_name, by_header, resolver=f"{__name__}.by_header")) as driver:
        for emulator, _ in platforms.values():
            user = emulator.add_user("ada@test.example")
            headers = [*bearer(emulator.sign_in(user)), ("base44-app-id", emulator.app_id)]
            assert driver.request("GET", "/me", headers).json()["id"] == user.id
        for wrong in ("other", "", "app-one,app-two"):
            assert driver.request("GET", "/me", [("base44-app-id", wrong)]).status_code == 400
        assert driver.request("GET", "/me").status_code == 404


def test_an_app_whose_settings_are_wrong(driver_name: str, platforms: Any) -> None:
    """It is the server's mistake, for its log: no visitor is told of it."""

    chosen["settings"] = {ONE: Settings(timeout=1)}  # no app_id
    with closing(Driver(driver_name, resolver, resolver=f"{__name__}.resolver")) as driver:
        if driver.raises or driver.name.startswith(("flask", "quart")):
            with pytest.raises(ConfigurationError, match="app_id"):
                driver.request("GET", "/me", host=ONE)
        else:
            assert driver.request("GET", "/me", host=ONE).status_code == 500
