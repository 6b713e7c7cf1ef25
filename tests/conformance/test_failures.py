"""What visitors are answered while the platform is down, slow or lying."""

from __future__ import annotations

import json
from typing import Any

import pytest

from base44_web import (
    AppUser,
)
from base44_web.testing import CALENDAR_ID, Emulator, Fault
from tests.checks import (
    bearer,
)
from tests.drivers import CORE, ONE_EACH, Driver, rows
from tests.faults import FAULTS

pytestmark = pytest.mark.drivers(*CORE, *ONE_EACH)


@pytest.mark.drivers(*CORE)
def test_every_call_tells_its_faults_apart(driver: Driver, emulator: Emulator) -> None:
    """The other calls' bodies: a wrong shape is never a result."""
    headers = {"Authorization": f"Bearer {emulator.sign_in(emulator.add_user('a@test.example'))}"}
    wrong = [
        ("user", "connect_app_user", ["calendar"], {}, body)
        for body in (b"{}", b'{"redirect_url": 7}', b'{"redirect_url": "http://a.example"}', b'{"redirect_url": ""}',
                     b'{"redirect_url": "https://a\\nb"}', b'{"redirect_url": "//a.example"}',
                     b'{"redirect_url": "https://user@a.example/"}', b'{"redirect_url": null, "already_authorized": false}')
    ]  # fmt: skip
    wrong += [("user", "disconnect_app_user", ["calendar"], {}, b"<html>"), ("client", "user", [], {}, b'{"id": ""}')]
    wrong += [
        ("service", "call_api", ["x"], {"path": "/"}, body)
        for body in (b"{}", b'{"success": 1, "phase": "responded"}', b'{"success": true, "phase": "maybe"}',
                     b'{"success": true, "phase": "responded", "status_code": "200"}',
                     b'{"success": true, "phase": "responded", "headers": {"a": 1}}',
                     b'{"success": true, "phase": "responded", "credits_charged": "1"}',
                     b'{"success": true, "phase": "responded", "data_base64": 7}')
    ]  # fmt: skip
    wrong += [("service", "get_connection", ["x"], {}, b'{"access_token": "t", "integration_type": 7}')]
    for module, method, args, kwargs, body in wrong:
        emulator.fault(Fault(status=200, body=body))
        outcome = driver.call(module, method, *args, headers=headers, **kwargs)
        assert outcome.error == "InvalidResponseError", (method, body, outcome)
        assert outcome.fields["data"] is None


def test_faults_are_told_in_every_framework(
    make: Any, driver_name: str, emulator: Emulator, subtests: pytest.Subtests
) -> None:
    for name in rows(driver_name, ("drops before", "html", "oversized", "redirect", "compressed")):
        with subtests.test(name):
            fault, cls, code = FAULTS[name]
            emulator.clear_faults()
            emulator.fault(fault)
            outcome = make().call("service", "get_connection", "slack")
            assert (outcome.error, outcome.fields["code"]) == (cls, code)


@pytest.mark.drivers(*CORE)
def test_the_platforms_text_is_one_line_in_a_log(driver: Driver, emulator: Emulator) -> None:
    emulator.fault(Fault(status=500, body=json.dumps({"detail": "a\nb\x1b[31m" + "x" * 900_000}).encode()))
    outcome = driver.call("service", "get_connection", "slack")
    assert outcome.error == "ServerError"
    assert len(outcome.fields["text"]) == 500
    assert outcome.fields["text"].startswith("a b [31mxxx")
    assert len(outcome.fields["message"]) > 900_000


@pytest.mark.drivers(*CORE)
def test_an_answer_that_cannot_be_used_keeps_its_status(driver: Driver, emulator: Emulator) -> None:
    emulator.fault(Fault(status=200, body=b"[]"))
    assert driver.call("service", "get_connection", "slack").fields["status"] == 200


PASSING = {
    "503": Fault(status=503),
    "a dropped connection": Fault(drop="before"),
    "dropped in the middle": Fault(drop="during"),
    "500": Fault(status=500),
    "502": Fault(status=502, body=b"<html>Bad gateway"),
    "503 with Retry-After": Fault(status=503, headers={"Retry-After": "0"}),
    "504": Fault(status=504),
    "429": Fault(status=429),
    "no HTTP": Fault(raw=b"?"),
}


def test_one_failure_is_survived_unnoticed(
    make: Any, driver_name: str, emulator: Emulator, ada: AppUser, subtests: pytest.Subtests
) -> None:
    token = emulator.connect(ada, CALENDAR_ID)
    for name, fault in rows(driver_name, PASSING.items()):
        with subtests.test(name):
            emulator.clear_faults()
            for path in ("*/User/me", "*/token"):
                emulator.fault(fault, path=path, times=1)
            answer = make(max_retries=2).request("GET", "/guarded", bearer(emulator.sign_in(ada)))
            assert answer.status_code == 200, answer.text
            assert answer.json()["access_token"] == token


def test_what_may_have_happened_is_not_repeated(
    make: Any, driver_name: str, emulator: Emulator, subtests: pytest.Subtests
) -> None:
    for name in rows(driver_name, ("a dropped connection", "503", "429")):
        with subtests.test(name):
            emulator.clear_faults()
            is_not_repeated(make(max_retries=2), emulator, PASSING[name])


def is_not_repeated(driver: Driver, emulator: Emulator, fault: Fault) -> None:
    headers = {"authorization": f"Bearer {emulator.sign_in(emulator.add_user('ada@test.example'))}"}
    for module, method, args in (
        ("user", "connect_app_user", [CALENDAR_ID]),
        ("user", "disconnect_app_user", [CALENDAR_ID]),
    ):
        emulator.requests.clear()
        emulator.fault(fault, times=1)
        assert driver.perform(module, method, args, {}, headers).error is not None
        assert len(emulator.requests) == 1
    emulator.fault(fault, times=1)
    emulator.requests.clear()
    assert driver.call("service", "call_api", "x", path="/2/users/me").error is not None
    assert len(emulator.requests) == 1


MATRIX = {
    "503": Fault(status=503, headers={"Retry-After": "nan"}),
    "refused": None,
    "dropped": Fault(drop="before"),
    "dropped in the middle": Fault(drop="during"),
    "silent": Fault(delay=600),
    "dripping": Fault(drip=0.03),
    "no HTTP": Fault(raw=b"\x00\xff\x00\r\n\r\n"),
    "endless head": Fault(raw=b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 300_000),
    "400": Fault(status=400),
    "402": Fault(status=402),
    "418": Fault(status=418),
    "429": Fault(status=429, headers={"Retry-After": "30"}),
    "500": Fault(status=500, body=b"<html>" + b"x" * 1000),
    "redirect": Fault(status=302, headers={"Location": "https://evil.example/"}),
    "empty": Fault(status=200, body=b""),
    "no JSON": Fault(status=200, body=b"<html>Sign in to the Wi-Fi"),
    "another shape": Fault(status=200, body=b'[{"access_token": 7}]'),
    "not UTF-8": Fault(status=200, body=b'{"id": "\xff\xfe"}'),
    "deeply nested": Fault(status=200, body=b"[" * 100_000),
    "too large": Fault(status=200, body=b'"' + b"a" * 2_000_000 + b'"'),
    "compressed": Fault(status=200, headers={"Content-Encoding": "gzip"}),
    "a cookie and a lie": Fault(status=200, body=b"{}", headers={"Set-Cookie": "a=b"}),
}


def test_fault_matrix(make: Any, driver_name: str, emulator: Emulator, ada: AppUser, subtests: pytest.Subtests) -> None:
    """No hang, no leak, no 500, no allow."""
    for name, fault in rows(driver_name, MATRIX.items()):
        with subtests.test(name):
            emulator.clear_faults()
            refuses_everything(make, emulator, ada, fault)


def refuses_everything(make: Any, emulator: Emulator, ada: AppUser, fault: Fault | None) -> None:
    slow = fault is not None and bool(fault.delay or fault.drip)
    fields: dict[str, Any] = {"timeout": 0.4 if slow else 60, "max_retries": 1}
    if fault is None:
        fields["server_url"] = "http://127.0.0.1:9"
    provider_token = emulator.connect(ada, CALENDAR_ID)
    jwt = emulator.sign_in(ada)
    driver = make(**fields)
    if fault is not None:
        emulator.fault(fault, times=None)
    for method, path in (
        ("GET", "/me"),
        ("GET", "/guarded"),
        ("DELETE", "/base44/disconnect/calendar"),
        ("POST", "/base44/connect/calendar"),
        ("GET", "/base44/status/calendar"),
    ):
        send = driver.send_view if path.startswith("/base44") else driver.request
        answer = send(method, path, bearer(jwt))
        assert answer.status_code == 503, (path, answer.status_code, answer.text)
        for secret in (jwt, provider_token, emulator.service_token, "evil"):
            assert secret not in answer.text + str(answer.headers)
