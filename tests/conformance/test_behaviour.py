"""The main path and its refusals, in every framework, sync and async, over HTTP to the emulator.

This suite and `test_views` run under real servers too, in `tests/served`.
"""

from __future__ import annotations

from typing import Any

import pytest

from base44_web import ConnectorID
from base44_web.testing import CALENDAR_ID, WORKSPACE_ID, Emulator, Fault
from tests.checks import Headers, bearer
from tests.drivers import Driver, rows
from tests.serving import PATIENCE


def test_shared_connection(driver: Driver, emulator: Emulator) -> None:
    token = emulator.share("slack", config={"team": "T1"})
    outcome = driver.call("service", "get_connection", "slack")
    assert outcome.result == {"access_token": token, "connection_config": {"team": "T1"}}


def test_workspace_connection(driver: Driver, emulator: Emulator) -> None:
    token = emulator.share_workspace(WORKSPACE_ID)
    assert driver.call("service", "get_workspace_connection", WORKSPACE_ID).result["access_token"] == token


def test_app_user_connection_by_name_and_id(driver: Driver, emulator: Emulator, subtests: pytest.Subtests) -> None:
    for connector in rows(driver.name, ("calendar", CALENDAR_ID)):
        with subtests.test(connector):
            user = emulator.add_user(f"{connector}@test.example")
            token = emulator.connect(user, CALENDAR_ID)
            emulator.connect(emulator.add_user("grace@test.example"), CALENDAR_ID)
            headers = bearer(emulator.sign_in(user))
            outcome = driver.call("service", "get_current_app_user_connection", connector, headers=headers)
            assert outcome.result == {"access_token": token, "connection_config": None}


def test_connect_consent_and_disconnect(driver: Driver, emulator: Emulator, platform: str, adas: Headers) -> None:
    import httpx2

    before = driver.call("service", "get_current_app_user_connection", "calendar", headers=adas)
    assert before.error == "NotConnectedError"
    url = driver.call("user", "connect_app_user", "calendar", headers=adas).result
    assert url.startswith(f"{platform}/provider/consent?state=")
    page = httpx2.post(url, data={"answer": "approve"}, follow_redirects=True, timeout=PATIENCE)
    assert "Connected" in page.text
    assert page.url.path == "/api/external-auth/callback"
    connected = driver.call("service", "get_current_app_user_connection", "calendar", headers=adas)
    assert connected.result["access_token"]
    again = driver.call("user", "connect_app_user", "calendar", headers=adas)
    assert (again.error, again.fields["status"]) == ("AlreadyConnectedError", 409)
    assert driver.call("user", "disconnect_app_user", "calendar", headers=adas).error is None
    after = driver.call("user", "disconnect_app_user", "calendar", headers=adas)
    assert (after.error, after.fields["status"]) == ("NotFoundError", 404)


def test_call_api(driver: Driver) -> None:
    outcome = driver.call("service", "call_api", "x", path="/2/tweets", method="POST", body={"text": "é"})
    assert outcome.result["success"] is True
    assert outcome.result["status"] == 201
    assert outcome.result["data"] == {"text": "é"}
    assert outcome.result["credits_charged"] == 1


def test_provider_error_is_returned_not_raised(driver: Driver) -> None:
    outcome = driver.call("service", "call_api", "x", path="/nowhere")
    assert (outcome.result["success"], outcome.result["status"]) == (False, 404)


def test_user(driver: Driver, emulator: Emulator) -> None:
    user = emulator.add_user("ada@test.example")
    outcome = driver.call("client", "user", headers=bearer(emulator.sign_in(user)))
    assert outcome.result == {"id": user.id, "email": "ada@test.example"}
    assert driver.call("client", "user").result is None


WHO_DO_NOT_COUNT: list[tuple[str, object, str]] = [
    ("app_id", "another", "other_app"), ("is_service", True, "inactive_user"), ("disabled", True, "inactive_user"),
]  # fmt: skip


def test_users_who_do_not_count(driver: Driver, emulator: Emulator, subtests: pytest.Subtests) -> None:
    for field, value, code in rows(driver.name, WHO_DO_NOT_COUNT):
        with subtests.test(field):
            user = emulator.add_user(f"{field}@test.example", **{field: value})
            outcome = driver.call("client", "user", headers=bearer(emulator.sign_in(user)))
            found = outcome.error, outcome.fields["status"], outcome.fields["code"]
            assert found == ("AuthenticationError", 401, code)


def test_expired_token_is_refused_by_the_platform(driver: Driver, emulator: Emulator) -> None:
    headers = bearer(emulator.sign_in(emulator.add_user("ada@test.example"), lifetime=-1))
    for module, method in (("user", "connect_app_user"), ("service", "get_current_app_user_connection")):
        outcome = driver.call(module, method, "calendar", headers=headers)
        assert (outcome.error, outcome.fields["status"]) == ("AuthenticationError", 401)


FOR_SOMEBODY = [
    ("user", "connect_app_user"), ("user", "disconnect_app_user"), ("service", "get_current_app_user_connection"),
]  # fmt: skip


def test_anonymous_visitors_cost_no_call(driver: Driver, emulator: Emulator, subtests: pytest.Subtests) -> None:
    for module, method in rows(driver.name, FOR_SOMEBODY):
        with subtests.test(method):
            emulator.requests.clear()
            outcome = driver.call(module, method, "calendar")
            assert (outcome.error, outcome.fields["code"]) == ("AuthenticationError", "no_token")
            assert emulator.requests == []


MALFORMED = [
    "Basic zq9zq9", "", "Bearer zq9 b", "Bearer  zq9", "Bearer zq9,b", "Bearer zq9, Bearer b",
    "bearer\tzq9", "Token zq9", 'Bearer "zq9"', "Bearer " + "zq9" * 2731, "Bearer zq9;b",
]  # fmt: skip


def refuses_before_any_call(driver: Driver, emulator: Emulator, header: str) -> None:
    emulator.requests.clear()
    outcome = driver.call("user", "connect_app_user", "calendar", headers=[("authorization", header)])
    assert (outcome.error, outcome.fields["code"]) == ("AuthenticationError", "malformed_authorization")
    assert "zq9" not in outcome.fields["message"]
    assert emulator.requests == []


def test_malformed_header_is_an_error_before_any_call(
    driver: Driver, emulator: Emulator, subtests: pytest.Subtests
) -> None:
    for header in rows(driver.name, MALFORMED):
        with subtests.test(header=header):
            refuses_before_any_call(driver, emulator, header)


def test_header_that_some_servers_refuse_themselves(driver: Driver, emulator: Emulator) -> None:
    refuses_before_any_call(driver, emulator, "Bearer zq9\x7f")


def test_two_authorization_headers_are_an_error(driver: Driver, emulator: Emulator) -> None:
    headers = [("authorization", "Bearer aaa"), ("authorization", "Bearer bbb")]
    if not driver.headers_apart:
        headers = [("authorization", "Bearer aaa,Bearer bbb")]  # what WSGI servers make of them
    outcome = driver.call("user", "connect_app_user", "calendar", headers=headers)
    assert outcome.error == "AuthenticationError"
    assert emulator.requests == []


def test_scheme_is_compared_without_case(driver: Driver, subtests: pytest.Subtests) -> None:
    for scheme in rows(driver.name, ("bearer", "Bearer", "BEARER")):
        with subtests.test(scheme):
            assert driver.call("client", "token", headers=[("authorization", f"{scheme} a.b.c")]).result == "a.b.c"


def test_bare_bearer_is_no_token_and_hides_the_cookie(make: Any, subtests: pytest.Subtests) -> None:
    driver = make(token_sources=["header", "cookie"])
    for header in ("Bearer ", "Bearer"):
        with subtests.test(header=header):
            headers = [("authorization", header), ("cookie", "base44_access_token=a.b.c")]
            assert driver.call("client", "token", headers=headers, http_method="GET").result is None


def test_header_errors_show_at_first_use_only(driver: Driver) -> None:
    assert driver.request("POST", "/idle", [("authorization", "Basic Zm9v")]).status_code == 200


def test_no_service_role(make: Any, emulator: Emulator) -> None:
    outcome = make(service_token=None).call("service", "get_connection", "slack")
    assert outcome.error == "ServiceRoleUnavailableError"
    assert "BASE44_SERVICE_TOKEN" in outcome.fields["message"]
    assert emulator.requests == []


STEERING = ["../users", "", ".", "..", "a/b", "a\\b", "a?x", "a#x", "%2e%2e", "a\nb", "a\x00", "\x7f", "\u2028"]


def test_identifiers_that_would_steer(driver: Driver, emulator: Emulator, subtests: pytest.Subtests) -> None:
    for identifier in rows(driver.name, STEERING):
        with subtests.test(identifier=identifier):
            emulator.requests.clear()
            steers_nowhere(driver, emulator, identifier)


def steers_nowhere(driver: Driver, emulator: Emulator, identifier: str) -> None:
    headers = bearer("a.b.c")
    for module, method in (
        ("service", "get_connection"),
        ("service", "get_workspace_connection"),
        ("service", "get_current_app_user_connection"),
        ("user", "connect_app_user"),
        ("user", "disconnect_app_user"),
    ):
        assert driver.call(module, method, identifier, headers=headers).error == "ValueError"
    assert driver.call("service", "call_api", identifier, path="/").error == "ValueError"
    assert driver.call("service", "get_connection", 7).error == "TypeError"
    assert emulator.requests == []


def test_a_name_that_is_not_configured_never_becomes_an_id(
    driver: Driver, emulator: Emulator, adas: Headers, subtests: pytest.Subtests
) -> None:
    """The guards' rule, in every call: else the user would be told "not connected", for ever."""
    named = ("service", "get_current_app_user_connection"), *FOR_SOMEBODY, ("client", "connection")
    for module, method in rows(driver.name, named):
        with subtests.test(method):
            emulator.requests.clear()
            outcome = driver.call(module, method, "calender", headers=adas)
            assert outcome.error == "ConfigurationError"
            assert "BASE44_APP_USER_CONNECTORS" in outcome.fields["message"]
            assert "Did you mean 'calendar'?" in outcome.fields["message"]
            assert emulator.requests == []
    for connector in ("calendar", CALENDAR_ID, ConnectorID(CALENDAR_ID)):
        assert driver.call("service", "get_current_app_user_connection", connector, headers=adas).error == (
            "NotConnectedError"
        )


ARGUMENTS: list[tuple[dict[str, object], str]] = [
    ({"path": ""}, "ValueError"), ({"path": 7}, "TypeError"), ({"path": "/", "method": "get"}, "ValueError"),
    ({"path": "/", "method": "TRACE"}, "ValueError"),
]  # fmt: skip


def test_call_api_arguments(driver: Driver, emulator: Emulator, subtests: pytest.Subtests) -> None:
    for arguments, error in rows(driver.name, ARGUMENTS):
        with subtests.test(arguments=arguments):
            emulator.requests.clear()
            assert driver.call("service", "call_api", "x", **arguments).error == error
            assert emulator.requests == []


def test_platform_errors_are_typed(driver: Driver, emulator: Emulator, adas: Headers) -> None:
    metered = driver.call("service", "get_connection", "x")
    assert (metered.error, metered.fields["status"]) == ("MeteredConnectorError", 403)
    missing = [
        (driver.call("service", "get_connection", "slak"), "NotConnectedError"),
        (driver.call("service", "get_workspace_connection", "slak"), "NotConnectedError"),
        (driver.call("service", "call_api", "slak", path="/"), "NotFoundError"),
        (driver.call("user", "connect_app_user", ConnectorID("slak"), headers=adas), "NotFoundError"),
    ]
    for outcome, error in missing:
        assert (outcome.error, outcome.fields["text"]) == (error, f"{outcome.fields['message']}: 'slak'")
    emulator.add_metered("x", credits_left=0)
    broke = driver.call("service", "call_api", "x", path="/2/users/me")
    assert (broke.error, broke.fields["status"]) == ("CreditsExhaustedError", 402)
    assert broke.fields["data"]["extra_data"]["reason"] == "integration_credits_limit_reached"
    emulator.fault(Fault(status=429, headers={"Retry-After": "7"}, body=b'{"detail": "slow down"}'))
    limited = driver.call("service", "get_connection", "slack")
    assert (limited.error, limited.fields["retry_after"]) == ("RateLimitError", 7.0)
    emulator.fault(Fault(status=422, body=b'{"detail": [{"loc": ["body", "x"], "msg": "is wrong"}]}'))
    invalid = driver.call("service", "get_connection", "slack")
    assert (invalid.error, invalid.fields["message"]) == ("ValidationError", "body.x: is wrong")


def test_no_cookie_of_the_platform_is_ever_sent_back(driver: Driver, emulator: Emulator, adas: Headers) -> None:
    emulator.fault(Fault(headers={"Set-Cookie": "session=ada; Path=/"}), times=None)
    for _ in range(3):
        driver.call("service", "get_connection", "slack", headers=adas)
    assert len(emulator.requests) == 3
    assert all(request.header("cookie") is None for request in emulator.requests)


def test_connect_and_disconnect_go_to_the_apps_own_origin(
    make: Any, emulator: Emulator, platform: str, adas: Headers
) -> None:
    """The host that `initiate` is called on ends up in the provider's `redirect_uri`."""
    with emulator.serve() as own:
        driver = make(app_url=own.url)
        url = driver.call("user", "connect_app_user", CALENDAR_ID, headers=adas).result
        assert url.startswith(own.url + "/")
        driver.call("user", "disconnect_app_user", CALENDAR_ID, headers=adas)
        driver.call("service", "get_connection", "slack")
        hosts = [request.header("host") for request in emulator.requests]
        own_host, server_host = own.url.removeprefix("http://"), platform.removeprefix("http://")
        assert hosts == [own_host, own_host, server_host]
