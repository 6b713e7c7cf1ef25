"""`on_refusal`: an app's own error format, the same in every framework."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from base44_web import Refusal, Settings
from base44_web.testing import CALENDAR_ID, Emulator, Fault
from tests.apps.calls import encode_call
from tests.checks import NAVIGATION, SAME, SESSION_SECRET, Headers, check_page, check_problem, signed_in
from tests.drivers import FRAMEWORKS, ONE_EACH, Driver, changed

pytestmark = pytest.mark.drivers(*ONE_EACH)


@pytest.fixture
def fields() -> dict[str, Any]:
    return {"connect_path": "/base44", "token_sources": ["header", "cookie", "session"], "secret": SESSION_SECRET}


@pytest.fixture
def with_hook(driver_name: str, settings: Settings) -> Iterator[Any]:
    made: list[Driver] = []

    def make(on_refusal: Any, **fields: Any) -> Driver:
        made.append(Driver(driver_name, changed(settings, **fields), on_refusal=on_refusal))
        return made[-1]

    yield make
    for driver in made:
        driver.close()


def own(refusal: Refusal) -> tuple[int, Any, dict[str, str]] | None:
    if refusal.navigation:
        return None
    document = {"error": refusal.code, "message": refusal.title, "help": refusal.problem.get("connect_url")}
    return refusal.status, document, {"Cache-Control": "public", "Vary": "X-Own", "X-Own": "1"}


def check_own(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["x-own"]) == (status, "1"), answer.text
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["cache-control"] == "no-store"
    vary = {name.strip() for name in answer.headers["vary"].split(",")}
    assert {"X-Own", "Authorization", "Cookie", "Sec-Fetch-Mode"} <= vary
    document: dict[str, Any] = answer.json()
    assert document["error"] == code
    return document


@pytest.mark.drivers(*FRAMEWORKS)
def test_guards_and_errors_that_escape(with_hook: Any, emulator: Emulator) -> None:
    driver = with_hook(own)
    headers = signed_in(emulator)
    nobody = driver.request("GET", "/me", [])
    check_own(nobody, 401, "sign-in-required")
    assert nobody.headers["www-authenticate"] == "Bearer"
    assert check_own(driver.request("GET", "/guarded", headers), 403, "not-connected")["help"] == (
        "/base44/connect/calendar"
    )
    call = encode_call("user", "connect_app_user", ("calendar",), {})
    escaped = driver.request("POST", "/escape", [("authorization", "Bearer a.b.c"), *call])
    check_own(escaped, 401, "invalid-token")
    assert escaped.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    emulator.fault(Fault(status=503, headers={"Retry-After": "9"}), path="*/me", times=None)
    down = driver.request("GET", "/me", signed_in(emulator, "grace@test.example"))
    check_own(down, 503, "platform-unavailable")
    assert down.headers["retry-after"] == "9"


def test_none_leaves_it_to_us(with_hook: Any, emulator: Emulator) -> None:
    driver = with_hook(own)
    headers = [*signed_in(emulator), *NAVIGATION]
    check_page(driver.request("GET", "/me", NAVIGATION), 401)
    assert driver.request("GET", "/guarded", headers).status_code == 303
    check_problem(with_hook(lambda refusal: None).request("GET", "/me", []), 401, "sign-in-required")


def test_what_a_hook_sees(with_hook: Any, emulator: Emulator) -> None:
    """The same in every framework; and nothing in it is a credential, or the platform's text."""
    seen: list[Refusal] = []
    driver = with_hook(seen.append)
    headers = signed_in(emulator)
    driver.request("GET", "/guarded?secret=x", [*headers, *NAVIGATION])
    emulator.fault(Fault(status=401, body=b'{"detail": "platform text"}'), path="*/me")
    driver.request("GET", "/me", signed_in(emulator, "grace@test.example"))
    found, refused = seen
    assert (found.status, found.code, found.navigation) == (403, "not-connected", True)
    assert found.problem["type"] == "urn:base44-web:not-connected"
    assert found.problem["status_url"] == "/base44/status/calendar"
    assert (found.title, found.detail) == (found.problem["title"], found.problem["detail"])
    assert (refused.status, refused.code, refused.navigation) == (401, "invalid-token", False)
    text = repr(seen)
    assert headers[0][1].removeprefix("Bearer ") not in text
    assert "platform text" not in text
    assert "secret" not in text


def raises(refusal: Refusal) -> None:
    raise LookupError("a mistake in the hook")


async def is_a_coroutine(refusal: Refusal) -> None:
    return None


WRONG = {
    "raises": (raises, "a mistake in the hook"),
    "a coroutine": (is_a_coroutine, "plain function"),
    "no response": (lambda refusal: 7, "on_refusal"),
}


def test_a_hook_that_fails_leaves_it_to_us(
    with_hook: Any, caplog: pytest.LogCaptureFixture, subtests: pytest.Subtests
) -> None:
    for name, (on_refusal, said) in WRONG.items():
        with subtests.test(name):
            caplog.clear()
            check_problem(with_hook(on_refusal).request("GET", "/me", []), 401, "sign-in-required")
            assert "on_refusal" in caplog.text
            assert said in caplog.text


def test_a_status_that_was_forgotten(with_hook: Any) -> None:
    """A success for who was refused would be taken for one."""
    answer = with_hook(lambda refusal: (200, {"error": refusal.code}, {})).request("GET", "/me", [])
    assert (answer.status_code, answer.json()) == (401, {"error": "sign-in-required"})
    assert answer.headers["cache-control"] == "no-store"


def test_a_session_that_has_ended_is_cleared(with_hook: Any) -> None:
    cookie = ("cookie", "__Host-base44_session=gAAAAA")
    answer = with_hook(own).request("GET", "/me", [cookie, SAME])
    check_own(answer, 401, "invalid-token")
    assert answer.headers["set-cookie"].startswith("__Host-base44_session=;")


def test_the_redirect_views_keep_their_format(with_hook: Any, emulator: Emulator) -> None:
    """Our script reads it."""
    driver = with_hook(own)
    check_problem(driver.send_view("GET", "/base44/status/calendar", []), 401, "sign-in-required")
    headers: Headers = signed_in(emulator)
    emulator.connect(emulator.add_user("ada@test.example"), CALENDAR_ID)
    assert driver.send_view("GET", "/base44/status/calendar", headers).json() == {"connected": True}
