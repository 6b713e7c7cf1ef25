"""`platform_headers`: with "ignore" nothing has any effect; with "trust" it is used as a set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from base44_web import (
    Settings,
)
from base44_web.testing import Emulator
from tests.drivers import CORE, ONE_EACH, Driver, rows

APP = "app-one"


def platform_headers(url: str, **different: str) -> dict[str, str]:
    headers = {
        "Base44-App-Id": APP,
        "Base44-Api-Url": url,
        "Base44-Service-Authorization": "Bearer header-service-canary",
        "Base44-State": "state-canary",
        "X-Data-Env": "dev",
        "Base44-Functions-Version": "v1",
        "X-Base44-App-Url": "https://app.example",
        **{name.replace("_", "-"): value for name, value in different.items()},
    }
    return {name: value for name, value in headers.items() if value}


def test_ignored_by_default(driver: Driver, emulator: Emulator, elsewhere: tuple[Emulator, str]) -> None:
    driver.call("service", "get_connection", "slack")
    driver.call("service", "get_connection", "slack", headers=platform_headers(elsewhere[1]))
    plain, forged = emulator.requests
    assert forged == plain
    assert elsewhere[0].requests == []


pytestmark = pytest.mark.drivers(*CORE, *ONE_EACH)


@pytest.fixture
def make(driver_name: str) -> Iterator[Any]:
    made: list[Driver] = []

    def make(**fields: Any) -> Driver:
        made.append(Driver(driver_name, Settings(platform_headers="trust", **fields)))
        return made[-1]

    yield make
    for driver in made:
        driver.close()


def test_trusted_as_a_set(make: Any, emulator: Emulator, platform: str, elsewhere: tuple[Emulator, str]) -> None:
    other, url = elsewhere
    driver = make(allowed_app_ids=[APP], allowed_api_urls=[url], server_url=platform)
    driver.call("service", "get_connection", "slack", headers=platform_headers(url))
    (request,) = other.requests
    assert request.target.startswith(f"/api/apps/{APP}/")
    assert request.header("authorization") == "Bearer header-service-canary"
    assert (request.header("base44-state"), request.header("x-data-env")) == ("state-canary", "dev")
    assert emulator.requests == []


def test_a_configured_service_token_stays_with_its_app_and_server(
    make: Any, emulator: Emulator, platform: str, elsewhere: tuple[Emulator, str]
) -> None:
    other, url = elsewhere
    driver = make(app_id=APP, service_token="configured-canary", server_url=platform, allowed_api_urls=[url])
    headers = platform_headers(url, Base44_Service_Authorization="")
    outcome = driver.call("service", "get_connection", "slack", headers=headers)
    assert outcome.error == "ServiceRoleUnavailableError"
    assert driver.call("service", "get_connection", "slack").error == "NotConnectedError"  # the configured set
    assert emulator.requests[0].header("authorization") == "Bearer configured-canary"
    assert other.requests == []


NONSENSE = [
    ({"Base44_App_Id": "app-two"}, "app_id_mismatch"),
    ({"Base44_App_Id": "../app"}, "app_id_mismatch"),
    ({"Base44_App_Id": ""}, "app_id_missing"),
    ({"Base44_Api_Url": "https://evil.example"}, "api_url_not_allowed"),
    ({"Base44_Api_Url": "http://127.0.0.1:1"}, "api_url_not_allowed"),
    ({"Base44_Api_Url": "http://127.0.0.1:1@evil.example"}, "api_url_not_allowed"),
    ({"Base44_Api_Url": "file:///etc/passwd"}, "api_url_not_allowed"),
    ({"Base44_Service_Authorization": "Basic x"}, "malformed_service_authorization"),
    ({"Base44_Service_Authorization": "Bearer a b"}, "malformed_service_authorization"),
]


def test_nonsense_is_a_400_without_a_call(
    make: Any, elsewhere: tuple[Emulator, str], subtests: pytest.Subtests
) -> None:
    other, url = elsewhere
    driver = make(app_id=APP, service_token="configured-canary", allowed_api_urls=[url], server_url=url)
    for different, code in rows(driver.name, NONSENSE):
        with subtests.test(different=different):
            other.requests.clear()
            outcome = driver.call("service", "get_connection", "slack", headers=platform_headers(url, **different))
            assert (outcome.error, outcome.fields["status"], outcome.fields["code"]) == ("BadRequestError", 400, code)
            assert other.requests == []


@pytest.mark.drivers(*CORE)
def test_another_app_than_the_servers_says_so(
    make: Any, elsewhere: tuple[Emulator, str], caplog: pytest.LogCaptureFixture
) -> None:
    """A swapped app ID refuses everybody: the log names it, and who sends such headers cannot fill the log."""
    _, url = elsewhere
    driver = make(app_id="app-swapped", allowed_api_urls=[url], server_url=url)
    for _ in range(3):
        outcome = driver.call("service", "get_connection", "slack", headers=platform_headers(url))
        assert outcome.fields["code"] == "app_id_mismatch"
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == 1
    assert f"{APP!r}, and this server is app-swapped's" in told[0]
    assert "BASE44_APP_ID" in told[0]


def test_a_header_twice_is_a_400(make: Any, elsewhere: tuple[Emulator, str]) -> None:
    other, url = elsewhere
    driver = make(app_id=APP, allowed_api_urls=[url], server_url=url)
    for name, value in platform_headers(url).items():
        if name in ("Base44-App-Id", "Base44-Api-Url", "Base44-Service-Authorization"):
            twice = [*platform_headers(url).items(), (name, value)]
            if not driver.headers_apart:
                twice = [*platform_headers(url, **{name.replace("-", "_"): f"{value},{value}"}).items()]
            assert driver.call("service", "get_connection", "slack", headers=twice).error == "BadRequestError"
    assert other.requests == []


def test_data_environment_only_when_exact(make: Any, elsewhere: tuple[Emulator, str]) -> None:
    other, url = elsewhere
    driver = make(app_id=APP, allowed_api_urls=[url], server_url=url)
    for value in ("prod", "Dev", "staging", "dev,prod"):
        driver.call("service", "get_connection", "slack", headers=platform_headers(url, X_Data_Env=value))
    assert [request.header("x-data-env") for request in other.requests] == ["prod", None, None, None]


def test_empty_headers_are_as_good_as_absent(make: Any, elsewhere: tuple[Emulator, str]) -> None:
    other, url = elsewhere
    driver = make(app_id=APP, allowed_api_urls=[url], server_url=url)
    headers = {**platform_headers(url), "Base44-State": "", "Base44-Api-Url": ""}
    assert driver.call("service", "get_connection", "slack", headers=headers).error == "AuthenticationError"
    (request,) = other.requests
    assert request.header("base44-state") is None


@pytest.mark.drivers(*CORE)
def test_a_state_that_cannot_be_sent_on(make: Any, elsewhere: tuple[Emulator, str]) -> None:
    other, url = elsewhere
    driver = make(app_id=APP, allowed_api_urls=[url], server_url=url)
    outcome = driver.call("service", "get_connection", "slack", headers=platform_headers(url, Base44_State="\xe9"))
    assert (outcome.error, outcome.fields["code"]) == ("BadRequestError", "bad_state")
    assert other.requests == []


@pytest.mark.drivers(*CORE)
def test_no_app_at_all(make: Any, platform: str) -> None:
    driver = make(allowed_app_ids=[APP], allowed_api_urls=[platform])
    outcome = driver.call("service", "get_connection", "slack")
    assert (outcome.error, outcome.fields["code"]) == ("BadRequestError", "app_id_missing")


def test_two_states_are_refused_however_they_come(make: Any, elsewhere: tuple[Emulator, str]) -> None:
    """WSGI servers, and Django under ASGI, join them: with a comma, which no one state may hold."""
    other, url = elsewhere
    driver = make(app_id=APP, allowed_api_urls=[url])
    for more in ({}, {"Base44-App-Id": "", "Base44-Api-Url": "", "Base44-Service-Authorization": ""}):
        pairs = [*{name: value for name, value in (platform_headers(url) | more).items() if value}.items()]
        twice = [*pairs, ("Base44-State", "another")]
        if not driver.headers_apart:
            twice = [(name, f"{value}, another" if name == "Base44-State" else value) for name, value in pairs]
        outcome = driver.call("service", "get_connection", "slack", headers=twice)
        assert (outcome.error, outcome.fields["code"]) == ("BadRequestError", "duplicate_header")
    assert other.requests == []
