"""Guards, and errors that views let escape: every row of the design's table, in every framework, sync and async."""

from __future__ import annotations

import gc
import itertools
import json
from typing import Any

import httpx2
import pytest

from base44_web import Base44Error, ConfigurationError, Connection
from base44_web._core.engine.context import Context
from base44_web._core.incoming.caller import Caller
from base44_web.testing import CALENDAR_ID, Emulator, Fault
from tests.apps.calls import encode_call
from tests.checks import (
    NAVIGATION,
    Headers,
    bearer,
    calls,
    check_page,
    check_problem,
    signed_in,
)
from tests.conftest import Clock
from tests.drivers import CORE, ONE_EACH, Driver, rows
from tests.serving import eventually


@pytest.fixture
def fields() -> dict[str, Any]:
    return {"token_sources": ["header", "cookie"], "connect_path": "/base44", "sign_in_url": "/sign-in"}


def get(driver: Driver, path: str, headers: Headers, method: str = "GET") -> httpx2.Response:
    return driver.request(method, path, headers)


def test_nothing_of_a_request_is_left_to_the_garbage_collector(driver: Driver, emulator: Emulator) -> None:
    """It would hold the credentials, and memory, until the collector comes by."""
    if driver.name.startswith("django-asgi"):
        pytest.skip("Django leaves each ASGI request, and what is on it, to the collector itself")
    headers = signed_in(emulator)
    emulator.connect(emulator.add_user("ada@test.example"), CALENDAR_ID)
    get(driver, "/guarded", headers)
    gc.collect()
    gc.disable()
    try:
        others = held()
        assert get(driver, "/guarded", headers).status_code == 200
        assert eventually(lambda: not set(held()) - set(others))  # a thread that has answered lets go a moment later
    finally:
        gc.enable()


def held() -> dict[int, object]:
    """What there is of requests, by its number; the values keep that from being given away again."""
    return {id(each): each for each in gc.get_objects() if type(each) in (Context, Caller, Connection)}


def test_connected(driver: Driver, emulator: Emulator) -> None:
    headers = signed_in(emulator)
    token = emulator.connect(emulator.add_user("ada@test.example"), CALENDAR_ID)
    emulator.requests.clear()
    for method in ("GET", "POST"):
        answer = get(driver, "/guarded", headers, method)
        assert answer.status_code == 200, answer.text
        assert answer.json()["access_token"] == token
        assert answer.json()["same"] is True
        assert answer.json().get("given", True) is True
    targets = [request.target.rpartition("/")[2] for request in emulator.requests]
    assert sorted(targets) == ["me", "token", "token"]  # one token call a request; the identity is remembered


def test_signed_in(driver: Driver, emulator: Emulator) -> None:
    assert get(driver, "/me", signed_in(emulator)).json()["email"] == "ada@test.example"


def test_no_token(driver: Driver, emulator: Emulator, subtests: pytest.Subtests) -> None:
    for path in rows(driver.name, ("/guarded", "/me")):
        with subtests.test(path):
            emulator.requests.clear()
            check_problem(get(driver, path, []), 401, "sign-in-required")
            # A form that somebody posts after the session has ended: there is no way back to its page.
            up = "../" if driver.path else "./"
            assert f'href="{up}sign-in"' in check_page(get(driver, path, NAVIGATION, "POST"), 401)
            answer = get(driver, f"{path}?a=b", NAVIGATION)
            assert f'href="{up}sign-in?next={driver.path}{path}%3Fa%3Db"' in check_page(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
            assert emulator.requests == []


def test_bad_tokens(driver: Driver, emulator: Emulator, subtests: pytest.Subtests) -> None:
    for path in rows(driver.name, ("/guarded", "/me")):
        with subtests.test(path):
            expired = signed_in(emulator, lifetime=-5)
            for headers in (expired, [("authorization", "Bearer a.b.c")], [("authorization", "Basic x")]):
                check_problem(get(driver, path, headers), 401, "invalid-token")
                check_page(get(driver, path, [*headers, *NAVIGATION]), 401)


def test_users_of_other_apps_and_disabled_ones(driver: Driver, emulator: Emulator) -> None:
    for index, fields in enumerate(({"app_id": "other"}, {"disabled": True}, {"is_service": True})):
        user = emulator.add_user(f"mallory{index}@test.example", **fields)
        emulator.connect(user, CALENDAR_ID)
        headers = [("authorization", f"Bearer {emulator.sign_in(user)}")]
        for path in ("/guarded", "/me"):
            check_problem(get(driver, path, headers), 401, "invalid-token")


def test_cookie_without_proof(driver: Driver, emulator: Emulator) -> None:
    token = signed_in(emulator)[0][1].removeprefix("Bearer ")
    cookie = [("cookie", f"base44_access_token={token}")]
    check_problem(get(driver, "/me", cookie, "POST"), 403, "cross-origin-cookie")
    assert get(driver, "/me", [*cookie, ("sec-fetch-site", "same-origin")], "POST").status_code == 200
    assert get(driver, "/me", cookie).status_code == 200
    check_problem(get(driver, "/me", [*cookie, ("sec-fetch-site", "cross-site")]), 401, "sign-in-required")


def test_not_connected(driver: Driver, emulator: Emulator) -> None:
    headers = signed_in(emulator)
    for method in ("GET", "POST"):
        document = check_problem(get(driver, "/guarded", headers, method), 403, "not-connected")
        assert document["connector"] == "calendar"
        assert document["connect_url"] == "/base44/connect/calendar"
        assert document["status_url"] == "/base44/status/calendar"
    for navigation in (NAVIGATION, [("accept", "text/html")]):
        answer = get(driver, "/guarded?a=b%20c&d=%2F", [*headers, *navigation])
        assert answer.status_code == 303, answer.text
        here = f"{driver.path}/guarded%3Fa%3Db%2520c%26d%3D%252F"
        assert answer.headers["location"] == f"/base44/connect/calendar?next={here}"
        assert answer.headers["cache-control"] == "no-store"
    long = get(driver, "/guarded?" + "a" * 3000, [*headers, *NAVIGATION])
    assert long.headers["location"] == "/base44/connect/calendar"


def test_no_service_role(make: Any, emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    headers = signed_in(emulator)
    emulator.connect(emulator.add_user("ada@test.example"), CALENDAR_ID)
    driver = make(service_token="wrong")
    document = check_problem(get(driver, "/guarded", headers), 503, "service-role-unavailable")
    assert "token" not in json.dumps(document)
    assert "BASE44_SERVICE_TOKEN" in caplog.text
    check_page(get(driver, "/guarded", [*headers, *NAVIGATION]), 503)
    assert get(driver, "/me", headers).status_code == 200


def test_a_connector_that_is_not_configured(
    driver_name: str, make: Any, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    if driver_name.startswith("litestar"):
        with pytest.raises(ConfigurationError, match="BASE44_APP_USER_CONNECTORS"):
            make(app_user_connectors={"mail": "70a1"})  # as the handler is registered
        return
    driver = make(app_user_connectors={"mail": "70a1"})
    if driver.name.startswith("flask"):
        with pytest.raises(ConfigurationError, match="BASE44_APP_USER_CONNECTORS"):
            get(driver, "/me", [])  # whatever is asked for first
    else:
        check_problem(get(driver, "/guarded", signed_in(emulator)), 503, "service-role-unavailable")
        assert "BASE44_APP_USER_CONNECTORS" in caplog.text


FAILING = {
    "503 with Retry-After": (Fault(status=503, headers={"Retry-After": "9"}), "9"),
    "500": (Fault(status=500), "5"),
    "429 with Retry-After": (Fault(status=429, headers={"Retry-After": "9999"}), "60"),
    "429": (Fault(status=429), "5"),
    "a dropped connection": (Fault(drop="before"), "5"),
    "HTML": (Fault(body=b"<html>", status=200), "5"),
    "a redirect": (Fault(status=302, headers={"Location": "/"}), "5"),
    "no HTTP": (Fault(raw=b"?"), "5"),
    "418": (Fault(status=418), "5"),
}


def test_a_failing_platform_never_lets_anybody_in(
    driver: Driver, emulator: Emulator, subtests: pytest.Subtests
) -> None:
    for number, (name, path) in enumerate(rows(driver.name, itertools.product(FAILING, ("*/me", "*/token")))):
        with subtests.test(f"{name}, {path}"):
            fault, retry_after = FAILING[name]
            # Another user each time: whoever was let in is remembered.
            user = emulator.add_user(f"ada{number}@test.example")
            headers = bearer(emulator.sign_in(user))
            emulator.connect(user, CALENDAR_ID)
            emulator.clear_faults()
            emulator.fault(fault, path=path, times=None)
            answer = get(driver, "/guarded", headers)
            check_problem(answer, 503, "platform-unavailable")
            assert answer.headers["retry-after"] == retry_after
            emulator.clear_faults()
            assert get(driver, "/guarded", headers).status_code == 200


def test_errors_that_escape_from_a_view(driver: Driver, emulator: Emulator) -> None:
    def escape(headers: list[tuple[str, str]], *call: Any) -> httpx2.Response:
        return get(driver, "/escape", [*headers, *encode_call(call[0], call[1], call[2:], {})], "POST")

    ada = signed_in(emulator)
    document = check_problem(
        escape(ada, "service", "get_current_app_user_connection", "calendar"), 403, "not-connected"
    )
    assert document["connect_url"] == "/base44/connect/calendar"
    check_problem(escape([], "user", "connect_app_user", "calendar"), 401, "sign-in-required")
    bad = [("authorization", "Bearer a.b.c")]
    for call in (("user", "connect_app_user"), ("service", "get_current_app_user_connection")):
        check_problem(escape(bad, *call, "calendar"), 401, "invalid-token")


THE_APPS_OWN = [
    ("service", "get_connection", "dropbox", None),
    ("service", "get_connection", "slack", 401),
    ("service", "get_connection", "slack", 403),
    ("service", "get_connection", "slack", 500),
    ("service", "get_current_app_user_connection", "calendar", 503),
    ("user", "connect_app_user", "calendar", 404),
    ("service", "get_connection", "../x", None),
]


def test_the_apps_own_errors_stay_its_own(driver: Driver, emulator: Emulator, subtests: pytest.Subtests) -> None:
    for module, method, connector, status in rows(driver.name, THE_APPS_OWN):
        with subtests.test(f"{method} {connector} {status}"):
            headers = [*signed_in(emulator), *encode_call(module, method, (connector,), {})]
            emulator.clear_faults()
            if status is not None:
                emulator.fault(Fault(status=status))
            if driver.raises:
                with pytest.raises((Base44Error, ValueError)):  # the server logs it, and answers 500
                    get(driver, "/escape", headers, "POST")
            else:
                assert get(driver, "/escape", headers, "POST").status_code == 500


@pytest.mark.drivers(*CORE)
def test_a_platform_that_does_not_answer_lets_nobody_in(make: Any, emulator: Emulator, adas: Headers) -> None:
    driver = make(timeout=0.5)
    for path in ("*/me", "*/token"):
        emulator.clear_faults()
        emulator.fault(Fault(delay=600), path=path, times=None)
        assert check_problem(get(driver, "/guarded", adas), 503, "platform-unavailable")


def test_identity_is_not_remembered_for_another_token(driver: Driver, emulator: Emulator, adas: Headers) -> None:
    assert get(driver, "/me", adas).json()["email"] == "ada@test.example"
    forged = [("authorization", adas[0][1] + "x")]
    assert get(driver, "/me", forged).status_code == 401
    assert get(driver, "/me", signed_in(emulator, "grace@test.example")).json()["email"] == "grace@test.example"


def test_identity_is_not_remembered_past_exp(driver: Driver, emulator: Emulator, clock: Clock) -> None:
    headers = signed_in(emulator, lifetime=50)
    for seconds in (0, 20):
        clock.forward(seconds)
        assert get(driver, "/me", headers).json()["email"] == "ada@test.example"
        assert calls(emulator, "/User/me") == 1
    clock.forward(31)
    assert get(driver, "/me", headers).json()["email"] == "ada@test.example"  # the platform's clock has not moved
    assert calls(emulator, "/User/me") > 1
    clock.forward(61)  # clocks may differ by a minute
    emulator.requests.clear()
    check_problem(get(driver, "/me", headers), 401, "invalid-token")
    assert emulator.requests == []


def test_a_user_whom_the_platform_refuses_by_now(driver: Driver, emulator: Emulator) -> None:
    """The identity is remembered; the token route's 401 is then the user's, not the service role's."""
    headers = signed_in(emulator)
    emulator.connect(emulator.add_user("ada@test.example"), CALENDAR_ID)
    assert get(driver, "/me", headers).status_code == 200
    emulator.fault(Fault(status=401), times=None)
    check_problem(get(driver, "/guarded", headers), 401, "invalid-token")
    emulator.clear_faults()


@pytest.mark.drivers(*CORE)
def test_the_platforms_text_forges_no_log_line(
    driver: Driver, emulator: Emulator, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = signed_in(emulator)
    emulator.fault(Fault(status=500, body=b'{"detail": "x\\nERROR forged"}'), times=None)
    assert get(driver, "/me", headers).status_code == 503
    assert "x ERROR forged" in caplog.text


def test_a_forged_host_changes_nothing(driver: Driver, emulator: Emulator) -> None:
    """Cases 23 and 30: neither a guard nor an address that it gives depends on `Host`."""
    headers = signed_in(emulator)
    for host in ("evil.example", "evil.example/openapi.json?x="):
        forged = [("host", host), ("x-forwarded-host", host)]
        assert get(driver, "/me", forged).status_code in (400, 401)  # Django refuses some hosts itself
        answer = get(driver, "/guarded", [*headers, *forged, *NAVIGATION])
        assert "evil" not in answer.headers.get("location", "")
        assert "evil" not in get(driver, "/guarded", [*headers, *forged]).text


def test_a_service_token_that_is_refused_in_a_view(make: Any, emulator: Emulator) -> None:
    """It is not for the visitor to sign in again."""
    headers = signed_in(emulator)
    driver = make(service_token="wrong")
    assert get(driver, "/me", headers).status_code == 200
    call = encode_call("service", "get_current_app_user_connection", ("calendar",), {})
    if driver.raises:
        with pytest.raises(Base44Error):
            get(driver, "/escape", [*headers, *call], "POST")
    else:
        assert get(driver, "/escape", [*headers, *call], "POST").status_code == 500


@pytest.mark.drivers(*CORE, *ONE_EACH)
def test_each_refusal_is_logged_once_with_its_reason(
    driver: Driver, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="base44_web")
    token = signed_in(emulator, lifetime=-3600)[0][1].removeprefix("Bearer ")
    call = encode_call("user", "connect_app_user", ("calendar",), {})
    for headers, reason in (
        ([], "sign-in-required: There is no app user token"),
        ([("authorization", f"Bearer {token}")], "invalid-token"),
        ([("authorization", "Bearer null")], 'invalid-token: The Authorization header says "Bearer null"'),
    ):
        for path, method in (("/me", "GET"), ("/guarded", "GET"), ("/escape", "POST")):
            caplog.clear()
            if path == "/escape":
                emulator.fault(Fault(status=401, body=b'{"detail": "expired"}'))
            assert get(driver, path, [*headers, *call], method).status_code == 401
            ours = [record for record in caplog.records if record.name == "base44_web"]
            assert [record.levelname for record in ours] == ["INFO"], path
            assert reason in ours[0].getMessage()
            assert token not in caplog.text
            emulator.clear_faults()


@pytest.mark.drivers(*CORE, *ONE_EACH)
def test_a_stale_service_token_is_not_the_visitors_trouble(make: Any, emulator: Emulator) -> None:
    """Also of somebody whom nobody has verified yet; what a visitor's own token is refused for is."""
    call = encode_call("service", "get_current_app_user_connection", ("calendar",), {})
    driver = make(service_token="wrong")
    for headers, visitors in ((signed_in(emulator), False), (signed_in(emulator, lifetime=-3600), True)):
        if visitors or not driver.raises:
            assert get(driver, "/escape", [*headers, *call], "POST").status_code == (401 if visitors else 500)
        else:
            with pytest.raises(Base44Error) as caught:
                get(driver, "/escape", [*headers, *call], "POST")
            assert not caught.value.about_visitor
