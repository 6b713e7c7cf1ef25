"""The redirect views: every answer, in every framework, under WSGI and ASGI."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from base44_web import AppUser, Settings
from base44_web._core.connections import statuses as _statuses
from base44_web.testing import CALENDAR_ID, Emulator, Fault
from tests.checks import FORM, NAVIGATION, SAME, SESSION_SECRET, Headers, calls, check_page, check_problem, signed_in
from tests.checks import bearer as bearer_of
from tests.conftest import Clock
from tests.drivers import CORE, ONE_EACH, Driver, rows

pytest.importorskip("cryptography")  # for the session
pytestmark = pytest.mark.drivers(*CORE, *ONE_EACH)
CookieOf = Callable[[AppUser], Headers]

# Case 30, each as it stands in the query.
EVIL_NEXTS = [
    "//e", "///e", "/\\e", "\\\\e", "https:e", "javascript:alert(1)", "%09//e", "/%09/e", "/%0d%0aSet-Cookie:x=y",
    "https://app@e", "https://app.e", "http:///e", "/%00", "/" + "a" * 10_000, "/a&next=/b", "e", "%2F%2Fe", "%2F%5Ce",
    "/%250d%250aSet-Cookie:x", "/%252fe", "/%255ce", "/.//e", "/..//e", "%20/e", "/%20e", "/%C2%A0e", "/%E2%80%AEe", "%FF",
    "", "?a", "/a" + "&x=1" * 30 + "%FF", "/a%0A", "/%7Fe", "data:text/html,x", "/;@e%5C@x",
]  # fmt: skip
GOOD_NEXTS = ["/a/b?c=d&e=%2F", "/", "/a", "/a%20b?q=//e", "/a#b", "/caf%C3%A9", "/~a/(b);c=d,e"]


@pytest.fixture
def fields() -> dict[str, Any]:
    return {
        "app_user_connectors": {"calendar": CALENDAR_ID, "other": "70a1b2c3d4e5f60718293a4c"},
        "connector_types": {"calendar": "googlecalendar"},
        "token_sources": ["header", "cookie", "session"],
        "secret": SESSION_SECRET,
        "sign_in_url": "/sign-in",
    }


@pytest.fixture(autouse=True)
def statuses_are_not_kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "keeps_statuses" not in request.keywords:
        monkeypatch.setattr(_statuses, "_SECONDS", 0.0)


@pytest.fixture
def cookie_of(emulator: Emulator) -> CookieOf:
    return lambda user: [("cookie", f"base44_access_token={emulator.sign_in(user)}")]


@pytest.fixture
def cookie(cookie_of: CookieOf, ada: AppUser) -> Headers:
    return cookie_of(ada)


class Views:
    """The views of one driver's app."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver

    def __call__(self, method: str, path: str, headers: Headers, body: str = "") -> httpx2.Response:
        return self.driver.send_view(method, f"/base44/{path}", headers, body.encode())


@pytest.fixture
def view(driver: Driver) -> Views:
    return Views(driver)


TOKENS = ["access_token={}", "a=b&access_token={}&c=d", "access%5Ftoken={}", "access_token=x&access_token={}"]


def test_no_answer_carries_a_token_on(
    view: Views, emulator: Emulator, cookie: Headers, subtests: pytest.Subtests
) -> None:
    """Which an address has as Base44's sign-in page sends a browser back."""
    token = emulator.sign_in(emulator.add_user("bob@test.example"))
    for field in rows(view.driver.name, TOKENS):
        with subtests.test(field):
            query = field.format(token)
            form = "next=/events"
            answers = [
                view("GET", f"connect/calendar?{query}", NAVIGATION),  # nobody is signed in by it
                view("GET", f"connect/calendar?{query}", [*cookie, *NAVIGATION]),
                view("POST", f"connect/calendar?{query}", [*cookie, *NAVIGATION, FORM], form),
                view("POST", f"disconnect/calendar?{query}", [*cookie, *NAVIGATION, FORM], form),
                view("POST", f"session/logout?{query}", [*cookie, *NAVIGATION, FORM], form),
                view.driver.request("GET", f"/guarded?{query}", NAVIGATION),
                view.driver.request("GET", f"/guarded?{query}", [*cookie, *NAVIGATION]),
            ]
            assert [answer.status_code for answer in answers] == [401, 200, 303, 303, 303, 401, 303]
            for answer in answers:
                assert token not in f"{answer.headers} {answer.text}"
            left = "?a=b&c=d" if "c=d" in field else ""
            assert answers[6].headers["location"].endswith(f"next={view.driver.path}/guarded{quote(left)}")


# --- the page


def test_page_names_service_and_account(view: Views, emulator: Emulator, cookie: Headers, platform: str) -> None:
    answer = view("GET", "connect/calendar?next=/events%3Fa%3Db", [*cookie, *NAVIGATION])
    page = check_page(answer)
    assert re.search("<title>Connect Google Calendar( · Daybook)?</title>", page)  # the examples have a name
    assert "ada@test.example" in page
    assert re.search(r'action="\./calendar\?user=[0-9a-f]+" target="_blank"', page)
    assert 'href="/events?a=b"' in page
    assert f"form-action 'self' https: {platform};" in answer.headers["content-security-policy"]
    assert not any(request.target.endswith("initiate") for request in emulator.requests)


def test_page_of_somebody_connected(view: Views, emulator: Emulator, ada: AppUser, cookie: Headers) -> None:
    emulator.connect(ada, CALENDAR_ID)
    page = check_page(view("GET", "connect/calendar?next=/events", [*cookie, *NAVIGATION]))
    assert re.search("<title>Google Calendar is connected( · Daybook)?</title>", page)
    assert 'action="../disconnect/calendar?user=' in page


def test_page_of_somebody_unknown(view: Views, emulator: Emulator) -> None:
    answer = view("GET", "connect/calendar", NAVIGATION)
    page = check_page(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert re.search(r'<a class="button" href="\.\./\.\./sign-in\?next=/base44/connect/calendar[^"]*">', page)
    assert emulator.requests == []


def test_page_where_only_its_script_can_know_the_user(make: Any, adas: Headers) -> None:
    view = Views(make(token_sources=["header"]))
    page = check_page(view("GET", "connect/calendar", NAVIGATION))
    assert 'src="../connect.js?v=' in page
    found = view("GET", "connect/calendar", [*adas, ("accept", "application/json")])
    assert found.json() == {"account": "ada@test.example", "user": found.json()["user"], "connected": False}
    check_problem(view("GET", "connect/calendar", []), 401, "sign-in-required")
    check_problem(view("POST", "session", [("sec-fetch-site", "same-origin")], "token=x"), 404, "no-session")


def test_page_escapes(view: Views, emulator: Emulator, cookie_of: CookieOf) -> None:
    cookie = cookie_of(emulator.add_user('"><script>alert(1)</script>@test.example'))
    page = check_page(view("GET", "connect/calendar?next=/%22%3E%3Cb%3E", [*cookie, *NAVIGATION]))
    assert "<b>" not in page.replace("<b data-account>", "")
    assert 'href="/&quot;&gt;&lt;b&gt;"' in page


def test_pages_name_the_app(make: Any, cookie: Headers) -> None:
    view = Views(make(app_name="Fish & <Chips>"))
    page = check_page(view("GET", "connect/calendar", [*cookie, *NAVIGATION]))
    assert "<title>Connect Google Calendar · Fish &amp; &lt;Chips&gt;</title>" in page
    assert "You are signed in to Fish &amp; &lt;Chips&gt; as <b data-account>ada@test.example</b>." in page
    page = check_page(view("GET", "connect/nobody", NAVIGATION), 404)
    assert "<title>There is nothing here · Fish &amp; &lt;Chips&gt;</title>" in page


def test_evil_next(view: Views, cookie: Headers, subtests: pytest.Subtests) -> None:
    for value in rows(view.driver.name, EVIL_NEXTS):
        with subtests.test(value=value):
            raw = quote(value, safe="%&=/")
            page = check_page(view("GET", f"connect/calendar?next={raw}", [*cookie, *NAVIGATION]))
            assert 'data-next="../../"' in page
            assert set(re.findall(r'<a href="([^"]*)"', page)) == {"../../"}  # home, from this page


def test_good_next(view: Views, cookie: Headers, subtests: pytest.Subtests) -> None:
    for value in rows(view.driver.name, GOOD_NEXTS):
        with subtests.test(value=value):
            page = check_page(view("GET", f"connect/calendar?next={quote(value, safe='')}", [*cookie, *NAVIGATION]))
            assert f'data-next="{value.replace("&", "&amp;")}"' in page


# --- starting


def test_start_sends_the_browser_to_the_provider(
    view: Views, emulator: Emulator, ada: AppUser, cookie: Headers
) -> None:
    answer = view("POST", "connect/calendar", [*cookie, *NAVIGATION, FORM], f"user={ada.id}")
    assert answer.status_code == 303
    assert "/provider/consent?state=" in answer.headers["location"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["cross-origin-opener-policy"] == "unsafe-none"  # or Django's own would cut the window off
    assert answer.content == b""


def test_start_for_a_script(view: Views, adas: Headers, cookie: Headers) -> None:
    answer = view("POST", "connect/calendar", [*adas, ("accept", "application/json")])
    assert list(answer.json()) == ["redirect_url"]
    assert answer.headers["cache-control"] == "no-store"
    # A script that merely has the visitor's cookie never sees the URL.
    with_cookie = [*cookie, ("accept", "application/json"), ("sec-fetch-site", "same-origin")]
    assert view("POST", "connect/calendar", with_cookie).status_code == 303


def test_start_of_somebody_connected(
    view: Views, emulator: Emulator, ada: AppUser, adas: Headers, cookie: Headers
) -> None:
    emulator.connect(ada, CALENDAR_ID)
    answer = view("POST", "connect/calendar", [*adas, ("accept", "application/json")])
    assert answer.json() == {"redirect_url": None, "connected": True}
    page = check_page(view("POST", "connect/calendar", [*cookie, *NAVIGATION, FORM], f"user={ada.id}"))
    assert "You can close this window" in page


OTHER_SITES: list[Headers] = [
    [("sec-fetch-site", "cross-site")], [("sec-fetch-site", "same-site")], [("origin", "null")], [],
    [("origin", "https://evil.example")], [("origin", "http://testserver.evil.example")],
]  # fmt: skip


def test_other_sites_start_nothing(view: Views, emulator: Emulator, cookie: Headers, subtests: pytest.Subtests) -> None:
    for path in rows(view.driver.name, ("session", "connect/calendar", "disconnect/calendar", "session/logout")):
        with subtests.test(path):
            emulator.requests.clear()
            for proof in OTHER_SITES:
                answer = view("POST", path, [*cookie, *proof, ("accept", "text/html"), FORM], "token=a.b.c")
                assert answer.status_code == 403
                assert "set-cookie" not in answer.headers
                if path.startswith("session"):
                    script = view("POST", path, [*cookie, *proof, ("accept", "*/*"), FORM], "token=a.b.c")
                    told = check_problem(script, 403, "cross-origin-session")["detail"]
                    assert "Authorization: Bearer" in told  # what a program does instead
            assert emulator.requests == []


def test_other_sites_read_nothing(view: Views, emulator: Emulator, cookie: Headers) -> None:
    for path in ("status/calendar", "connect/calendar"):
        headers = [
            *cookie,
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "cors"),
            ("origin", "https://evil.example"),
        ]
        answer = view("GET", path, headers)
        check_problem(answer, 401, "sign-in-required")
        assert "access-control-allow-origin" not in answer.headers
    assert emulator.requests == []


def test_another_user_has_signed_in_since(view: Views, emulator: Emulator, cookie: Headers) -> None:
    same = ("sec-fetch-site", "same-origin")
    for method, path in (("POST", "connect/calendar"), ("POST", "disconnect/calendar")):
        check_problem(view(method, path, [*cookie, same, FORM], "user=somebody-else"), 409, "other-user")
        assert "Reload it" in check_page(view(method, path, [*cookie, *NAVIGATION, FORM], "user=somebody-else"), 409)
    for path in ("connect/calendar", "disconnect/calendar"):  # what the page's forms say in their address
        check_problem(view("POST", f"{path}?user=somebody-else", [*cookie, same, FORM]), 409, "other-user")
    check_problem(view("GET", "status/calendar?user=somebody-else", cookie), 409, "other-user")
    assert all(request.method == "GET" for request in emulator.requests)


def test_connector_that_the_platform_does_not_know(
    view: Views, adas: Headers, caplog: pytest.LogCaptureFixture
) -> None:
    check_problem(view("POST", "connect/other", adas), 503, "connector-not-set-up")
    assert "app_user_connectors" in caplog.text


LIES = ["http://evil.example/", "javascript:alert(1)", "https://a@evil.example/", "https://e\n/", 7]


def test_redirect_urls_that_lie(view: Views, emulator: Emulator, adas: Headers, subtests: pytest.Subtests) -> None:
    for url in rows(view.driver.name, LIES):
        with subtests.test(url=url):
            emulator.clear_faults()
            emulator.fault(Fault(body=json.dumps({"redirect_url": url}).encode()), path="*/initiate", times=None)
            for accept in ("application/json", "text/html"):
                answer = view("POST", "connect/calendar", [*adas, ("accept", accept)])
                assert answer.status_code == 503
                assert "location" not in answer.headers
                assert "evil" not in answer.text


def test_the_url_is_never_logged(view: Views, adas: Headers, cookie: Headers, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", logger="base44_web")
    url = view("POST", "connect/calendar", [*adas, ("accept", "application/json")]).json()["redirect_url"]
    location = view("POST", "connect/calendar", [*cookie, *NAVIGATION]).headers["location"]
    ours = "".join(record.getMessage() for record in caplog.records if record.name.startswith("base44"))
    for secret in (url, location):
        assert secret.rpartition("state=")[2] not in ours


# --- status and disconnect


def test_status(view: Views, emulator: Emulator, ada: AppUser, adas: Headers, cookie: Headers) -> None:
    for headers in (adas, cookie):
        answer = view("GET", "status/calendar", headers)
        assert answer.json() == {"connected": False}
        assert answer.headers["cache-control"] == "no-store"
    emulator.connect(ada, CALENDAR_ID)
    assert view("GET", f"status/calendar?user={ada.id}", cookie).json() == {"connected": True}
    check_problem(view("GET", "status/calendar", []), 401, "sign-in-required")
    check_problem(view("GET", "status/calendar", [("authorization", "Bearer a.b.c")]), 401, "invalid-token")


FAILING = {
    "500": Fault(status=500), "a redirect": Fault(status=302), "no JSON": Fault(body=b"?"),
    "a dropped connection": Fault(drop="before"),
}  # fmt: skip


def test_a_failing_platform_is_no_answer(view: Views, emulator: Emulator, subtests: pytest.Subtests) -> None:
    for name, fault in rows(view.driver.name, FAILING.items()):
        with subtests.test(name):
            emulator.clear_faults()
            headers = signed_in(emulator, f"{name.replace(' ', '-')}@test.example")
            emulator.fault(fault, times=None)
            for method, path in (
                ("GET", "status/calendar"), ("POST", "connect/calendar"), ("DELETE", "disconnect/calendar"),
            ):  # fmt: skip
                answer = view(method, path, [*headers, ("accept", "application/json")])
                check_problem(answer, 503, "platform-unavailable")
                assert answer.headers["retry-after"] == "5"


@pytest.mark.drivers(*CORE)
def test_a_platform_that_does_not_answer_is_no_answer(make: Any, emulator: Emulator, adas: Headers) -> None:
    view = Views(make(timeout=0.5))
    emulator.fault(Fault(delay=600), times=None)
    for method, path in (("GET", "status/calendar"), ("POST", "connect/calendar"), ("DELETE", "disconnect/calendar")):
        check_problem(view(method, path, [*adas, ("accept", "application/json")]), 503, "platform-unavailable")


@pytest.mark.keeps_statuses
def test_the_platform_is_asked_once_a_second(
    view: Views, emulator: Emulator, ada: AppUser, adas: Headers, clock: Clock
) -> None:
    emulator.connect(ada, CALENDAR_ID)
    clock.stop()
    for _ in range(3):
        assert view("GET", "status/calendar", adas).json() == {"connected": True}
    assert calls(emulator, "/token") == 1
    clock.forward(1.1)
    assert view("GET", "status/calendar", adas).json() == {"connected": True}
    assert calls(emulator, "/token") == 2
    assert view("DELETE", "disconnect/calendar", adas).status_code == 200
    assert view("GET", "status/calendar", adas).json() == {"connected": False}  # at once
    other = bearer_of(emulator.sign_in(emulator.add_user("other@test.example")))
    assert view("GET", "status/calendar", other).json() == {"connected": False}


@pytest.mark.keeps_statuses
def test_a_failing_platform_is_asked_once_a_second(
    view: Views, emulator: Emulator, adas: Headers, clock: Clock
) -> None:
    emulator.fault(Fault(status=500), path="*/token", times=None)
    clock.stop()
    for _ in range(3):
        check_problem(view("GET", "status/calendar", adas), 503, "platform-unavailable")
    assert calls(emulator, "/token") == 1


@pytest.mark.keeps_statuses
@pytest.mark.drivers("core-awaiting", "starlette-async")
def test_statuses_asked_for_at_the_same_time(driver: Driver, emulator: Emulator, ada: AppUser, clock: Clock) -> None:
    """20 pages, of two sign-ins, and a platform that is slow: one call. And none that outlives a disconnect."""
    both = [bearer_of(emulator.sign_in(ada, n=n)) for n in range(2)]
    emulator.connect(ada, CALENDAR_ID)
    for headers in both:
        driver.request("GET", "/me", headers)
    emulator.requests.clear()
    emulator.fault(Fault(delay=0.5), path="*/token", times=None)

    async def main() -> None:
        asked = [driver.send("GET", "/base44/status/calendar", both[n % 2]) for n in range(20)]
        answers = await asyncio.gather(*asked)
        assert [answer.json() for answer in answers] == [{"connected": True}] * 20
        assert calls(emulator, "/token") == 1
        clock.forward(1.1)
        emulator.requests.clear()
        late = asyncio.create_task(driver.send("GET", "/base44/status/calendar", both[0]))
        while not calls(emulator, "/token"):
            await asyncio.sleep(0.01)
        assert (await driver.send("DELETE", "/base44/disconnect/calendar", both[1])).json() == {"connected": False}
        assert (await late).json() == {"connected": True}  # it was, when it was asked
        assert (await driver.send("GET", "/base44/status/calendar", both[0])).json() == {"connected": False}

    assert driver.runner is not None
    driver.runner.run(main())


def test_disconnect(view: Views, emulator: Emulator, subtests: pytest.Subtests) -> None:
    for method in rows(view.driver.name, ("DELETE", "POST")):
        with subtests.test(method):
            user = emulator.add_user(f"{method}@test.example")
            headers = bearer_of(emulator.sign_in(user))
            emulator.connect(user, CALENDAR_ID)
            emulator.requests.clear()
            for _ in range(2):  # the second time nothing is connected, which is no error
                assert view(method, "disconnect/calendar", headers).json() == {"connected": False}
                assert view("GET", "status/calendar", headers).json() == {"connected": False}
            assert calls(emulator, "/token") == 3  # a 404 was confirmed


def test_disconnect_without_scripts(view: Views, emulator: Emulator, ada: AppUser, cookie: Headers) -> None:
    emulator.connect(ada, CALENDAR_ID)
    answer = view("POST", "disconnect/calendar", [*cookie, *NAVIGATION, FORM], f"user={ada.id}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/base44/connect/calendar")
    emulator.connect(ada, CALENDAR_ID)
    page = view("GET", "connect/calendar?next=/events%3Fa%3Db", [*cookie, *NAVIGATION]).text
    assert '<input type="hidden" name="next" value="/events?a=b">' in page
    answer = view("POST", "disconnect/calendar", [*cookie, *NAVIGATION, FORM], "next=/events%3Fa%3Db")
    assert answer.headers["location"] == "/base44/connect/calendar?next=/events%3Fa%3Db"


def test_a_disconnect_that_did_not_happen(
    view: Views, emulator: Emulator, adas: Headers, caplog: pytest.LogCaptureFixture
) -> None:
    # A 404 of a platform that does not know the route; to the token route the user is connected.
    emulator.fault(Fault(status=200, body=b'{"access_token": "t"}'), path="*/token")
    check_problem(view("DELETE", "disconnect/calendar", adas), 503, "still-connected")
    assert "did not disconnect" in caplog.text


# --- what does not exist


UNKNOWN = ["..%2Fcalendar", "nobody", CALENDAR_ID, "calendar%00", "CALENDAR", "a" * 300]


def test_unknown_connectors(view: Views, emulator: Emulator, adas: Headers, subtests: pytest.Subtests) -> None:
    for name in rows(view.driver.name, UNKNOWN):
        with subtests.test(name=name):
            emulator.requests.clear()
            for method, path in (("GET", "connect"), ("POST", "connect"), ("GET", "status"), ("DELETE", "disconnect")):
                assert view(method, f"{path}/{name}", adas).status_code == 404
            assert emulator.requests == []


def test_other_methods(view: Views, adas: Headers) -> None:
    for method, path in (
        ("DELETE", "connect/calendar"), ("POST", "status/calendar"), ("GET", "disconnect/calendar"), ("GET", "session"),
        ("PUT", "session/logout"), ("POST", "connect.js"),
    ):  # fmt: skip
        answer = view(method, path, adas)
        assert answer.status_code == 405
        assert answer.headers["allow"]


def test_large_bodies(view: Views, emulator: Emulator, adas: Headers) -> None:
    check_problem(view("POST", "connect/calendar", [*adas, FORM], "user=" + "a" * 20_000), 413, "too-large")
    assert emulator.requests == []


def test_files(view: Views, subtests: pytest.Subtests) -> None:
    for name, kind in rows(view.driver.name, (("connect.js", "text/javascript"), ("connect.css", "text/css"))):
        with subtests.test(name):
            answer = view("GET", name, [])
            assert answer.status_code == 200
            assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
            assert answer.headers["access-control-allow-origin"] == "*"
            assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
            assert "max-age" in answer.headers["cache-control"]
            assert len(answer.content) > 1000
            assert view("HEAD", name, []).status_code == 200


# --- the session


def session_cookie(answer: httpx2.Response) -> Headers:
    return [("cookie", answer.headers["set-cookie"].partition(";")[0])]


def test_session(view: Views, driver: Driver, emulator: Emulator, ada: AppUser) -> None:
    token = emulator.sign_in(ada, lifetime=1000)
    answer = view("POST", "session", [SAME, FORM], f"token={token}")
    assert answer.json() == {"signed_in": True}
    name, *attributes = re.split("; ", answer.headers["set-cookie"])
    assert name.startswith("__Host-base44_session=")
    assert set(attributes[1:]) == {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"}
    assert 990 <= int(attributes[0].removeprefix("Max-Age=")) <= 1000
    for part in token.split("."):
        assert part not in answer.headers["set-cookie"]
    cookie = session_cookie(answer)
    assert view("GET", "status/calendar", cookie).json() == {"connected": False}
    assert driver.request("GET", "/me", cookie).json()["email"] == ada.email
    assert driver.request("POST", "/me", cookie).status_code == 403
    assert driver.request("POST", "/me", [*cookie, SAME]).status_code == 200


def test_session_lasts_twelve_hours_at_most(view: Views, emulator: Emulator, ada: AppUser) -> None:
    answer = view("POST", "session", [SAME], f'{{"token": "{emulator.sign_in(ada)}"}}')
    assert "Max-Age=43200;" in answer.headers["set-cookie"]


def test_session_of_a_form(view: Views, emulator: Emulator, ada: AppUser) -> None:
    body = f"token={emulator.sign_in(ada)}&next=/calendar"
    answer = view("POST", "session", [*NAVIGATION, FORM], body)
    assert (answer.status_code, answer.headers["location"]) == (303, "/calendar")
    assert view("GET", "status/calendar", session_cookie(answer)).status_code == 200
    evil = view("POST", "session", [*NAVIGATION, FORM], body.replace("/calendar", "//evil.example"))
    assert evil.headers["location"] == "/"


def test_sessions_that_do_not_begin(view: Views, emulator: Emulator, ada: AppUser) -> None:
    other = emulator.add_user("eve@test.example", app_id="another-app")
    bodies = {
        f"token={emulator.sign_in(ada, lifetime=-5)}": 401,
        "token=a.b.c": 401,
        f"token={emulator.sign_in(other)}": 401,
        "token=a b": 400,
        "token=a&token=b": 400,
        "": 400,
        "{": 400,
        '{"token": 1}': 400,
        "[" * 15_000: 400,
        f"token={'a' * 9000}": 400,
        f"token={emulator.sign_in(ada, more='x' * 3000)}": 400,  # too long for a cookie
    }
    for body, status in bodies.items():
        answer = view("POST", "session", [SAME, FORM], body)
        assert answer.status_code == status, (body, answer.text)
        assert "set-cookie" not in answer.headers
    # No token is ever taken from a URL.
    assert view("POST", f"session?token={emulator.sign_in(ada)}", [SAME, FORM]).status_code == 400
    assert view("GET", f"status/calendar?access_token={emulator.sign_in(ada)}", []).status_code == 401


def test_sessions_that_have_ended(view: Views, emulator: Emulator, ada: AppUser, settings: Settings) -> None:
    answer = view("POST", "session", [SAME, FORM], f"token={emulator.sign_in(ada)}")
    name, value = session_cookie(answer)[0][1].split("=", 1)
    for changed in (
        value[:-2],
        value[:40] + ("A" if value[40] != "A" else "B") + value[41:],
        "x",
        emulator.sign_in(ada),
    ):
        refused = view("GET", "status/calendar", [("cookie", f"{name}={changed}")])
        check_problem(refused, 401, "invalid-token")
        assert refused.headers["set-cookie"].startswith("__Host-base44_session=; Max-Age=0;")
    twice = [("cookie", f"{name}={value}; {name}={value}")]
    check_problem(view("GET", "status/calendar", twice), 401, "invalid-token")


def test_logout(view: Views, emulator: Emulator, ada: AppUser) -> None:
    answer = view("POST", "session/logout", [SAME])
    assert answer.json() == {"signed_in": False}
    assert answer.headers["set-cookie"].startswith("__Host-base44_session=; Max-Age=0; Path=/; Secure")
    form = view("POST", "session/logout", [*NAVIGATION, FORM], "next=/bye")
    assert (form.status_code, form.headers["location"]) == (303, "/bye")


HALF = "\\ud800"


def test_half_a_surrogate_in_a_record(view: Views, emulator: Emulator, ada: AppUser, adas: Headers) -> None:
    """JSON can say it, and no encoding: a user can put it into their own name."""
    for field in ("email", "full_name"):
        record = {"id": ada.id, "app_id": emulator.app_id, "email": "ada@test.example", "full_name": "Ada"}
        body = json.dumps(record).replace(json.dumps(record[field]), f'"{HALF}x"')
        emulator.clear_faults()
        emulator.fault(Fault(status=200, body=body.encode()), path="*/User/me", times=None)
        headers = signed_in(emulator, f"{field}@test.example")
        for accept in ("application/json", "text/html"):
            for method, path in (("GET", "connect/calendar"), ("GET", "status/calendar"), ("POST", "connect/calendar")):
                answer = view(method, path, [*headers, ("accept", accept)])
                assert answer.status_code < 500, (field, accept, path)
                answer.content.decode()
        token = headers[0][1].removeprefix("Bearer ")
        assert view("POST", "session", [SAME, FORM], f"token={token}").status_code == 200, field


def test_a_session_begins_from_a_page_over_https_alone(view: Views, emulator: Emulator, adas: Headers) -> None:
    """Its cookie is `__Host-`: this server is behind TLS, whatever scheme it sees."""
    token = adas[0][1].removeprefix("Bearer ")
    for origin, status in (("https://testserver", 200), ("http://testserver", 403)):
        assert view("POST", "session", [("origin", origin), FORM], f"token={token}").status_code == status


@pytest.mark.drivers(*CORE)
@pytest.mark.keeps_statuses
def test_an_error_about_one_session_is_not_anothers(
    view: Views, emulator: Emulator, ada: AppUser, clock: Clock
) -> None:
    """Of the same user, in another browser: the status that is kept for a second is the user's, their refusal is not."""
    clock.stop()
    emulator.connect(ada, CALENDAR_ID)
    first, second = (bearer_of(emulator.sign_in(ada, n=n)) for n in range(2))
    for headers in (first, second):
        assert view("GET", "connect/calendar", [*headers, ("accept", "application/json")]).status_code == 200
    clock.forward(2)
    emulator.fault(Fault(status=401), path="*/token", times=1)
    emulator.fault(Fault(status=401), path="*/User/me", times=1)
    assert view("GET", "status/calendar", first).status_code == 401
    assert view("GET", "status/calendar", second).status_code == 200
