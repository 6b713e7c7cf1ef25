"""The script of the connect page in real Chromium: whose token it is, what changes in other tabs, what cannot go on."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from base44_web import AppUser
from base44_web.testing import CALENDAR_ID, Emulator, Fault
from tests.checks import shows
from tests.serving import free_port

ROOT = Path(__file__).parent.parent.parent
KEY = "base44_access_token"
WAITING = "Decide in the window that has opened"
ALREADY = json.dumps({"redirect_url": None, "connection_id": "c", "already_authorized": True}).encode()


@dataclass
class Site:
    url: str
    emulator: Emulator

    @property
    def connect(self) -> str:
        return f"{self.url}/base44/connect/calendar"

    @property
    def flows(self) -> int:
        return sum(request.target.endswith("/initiate") for request in self.emulator.requests)

    def user(self, name: str) -> AppUser:
        return self.emulator.add_user(f"{name}-{os.urandom(4).hex()}@test.example")

    def token(self, user: AppUser, **claims: Any) -> str:
        """One that differs from all before."""
        return self.emulator.sign_in(user, jti=os.urandom(8).hex(), **claims)

    def connection(self, user: AppUser) -> Any:
        return self.emulator._state.connection("app_user", CALENDAR_ID, user.id)


@contextmanager
def serving(environment: dict[str, str], log: Path) -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--log-level", "warning", "--port", str(port), "tests.browser.site:app"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, env={**os.environ, **environment})
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(15)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    pytest.importorskip("starlette")
    pytest.importorskip("uvicorn")
    with Emulator.demo() as emulator, emulator.serve() as platform:
        environment = {
            "BASE44_APP_ID": emulator.app_id, "BASE44_SERVER_URL": platform.url, "BASE44_MAX_RETRIES": "0",
            "BASE44_SERVICE_TOKEN": emulator.service_token, "BASE44_TOKEN_SOURCES": "header,session",
            "BASE44_SECRET": "a session secret of more than 32 characters", "BASE44_SIGN_IN_URL": "/sign-in",
            "BASE44_APP_USER_CONNECTORS": f"calendar={CALENDAR_ID}", "BASE44_CONNECTOR_TYPES": "calendar=googlecalendar",
        }  # fmt: skip
        with serving(environment, tmp_path_factory.mktemp("site") / "log") as url:
            yield Site(url, emulator)


@pytest.fixture
def site(served: Site) -> Iterator[Site]:
    yield served
    served.emulator.clear_faults()


@pytest.fixture
def ada(site: Site) -> AppUser:
    return site.user("ada")


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A page in a context of its own; a script that throws fails the test."""
    context = chromium.new_context(viewport={"width": 800, "height": 640})
    context.set_default_timeout(20_000)
    errors: list[str] = []
    context.on("weberror", lambda error: errors.append(str(error.error)))
    yield context.new_page()
    context.close()
    assert errors == []


def store(page: Any, token: str | None, key: str = KEY) -> None:
    """As the Base44 client does it, in this tab: other tabs hear of it."""
    page.evaluate(
        "([key, token]) => token === null ? localStorage.removeItem(key) : localStorage.setItem(key, token)",
        [key, token],
    )


def elsewhere(page: Any, site: Site) -> Any:
    """Another tab of the same browser, on the same origin."""
    other = page.context.new_page()
    other.goto(site.url)
    page.bring_to_front()
    return other


def by_token(page: Any, site: Site, token: str, query: str = "?next=/after") -> None:
    """On the connect page, known by the token in `localStorage`."""
    page.goto(site.url)
    store(page, token)
    page.goto(site.connect + query)
    page.wait_for_selector("[data-account]:visible")
    settle(page)


def by_session(page: Any, site: Site, token: str, query: str = "?next=/after") -> None:
    """On the connect page, known by the session."""
    page.goto(site.url)
    page.evaluate(
        "async ([url, token]) => (await import(url)).startSession(token)", [f"{site.url}/base44/connect.js", token]
    )
    page.goto(site.connect + query)
    settle(page)


ARRIVALS = {"token": by_token, "session": by_session}


@pytest.fixture(params=ARRIVALS)
def arrive(request: pytest.FixtureRequest) -> Any:
    return ARRIVALS[request.param]


def settle(page: Any) -> None:
    """Longer than the button is inert, by the page's own clock."""
    page.wait_for_function("() => new Promise((done) => setTimeout(() => done(true), 600))")


def popup_of(page: Any, button: str = "button:has-text('Connect Google'):visible") -> Any:
    with page.context.expect_page() as opening:
        page.click(button)
    opening.value.wait_for_selector("text=Allow")
    return opening.value


def allow(popup: Any) -> None:
    popup.click("text=Allow")
    popup.wait_for_selector("h1:has-text('Connected')")


def says(page: Any, text: str) -> None:
    page.wait_for_selector(f"[role=status]:has-text('{text}')")


def window_closes(page: Any) -> None:
    """Whatever window was open beside the page goes."""
    for other in page.context.pages[1:]:
        other.wait_for_event("close")
    assert len(page.context.pages) == 1


def signed_out(page: Any) -> None:
    """The page's text and button are those for somebody who is not signed in."""
    page.wait_for_selector("a.button:has-text('Sign in'):visible")
    shows(page, "sign in to this app first")
    assert not page.is_visible("button:has-text('Connect')")
    assert not page.is_visible("text=You are signed in")


# --- whose token it is


def test_a_new_token_of_the_same_user(page: Any, site: Site, ada: AppUser) -> None:
    by_token(page, site, site.token(ada))
    popup = popup_of(page)
    store(page, site.token(ada))
    allow(popup)
    page.wait_for_url("**/after")


def test_another_users_token(page: Any, site: Site, ada: AppUser) -> None:
    by_token(page, site, site.token(ada))
    popup_of(page)
    store(page, site.token(site.user("eve")))
    says(page, "Another user has signed in")
    assert site.connection(ada) is None


@pytest.mark.parametrize("when", ["before", "while"])
def test_no_token_left(page: Any, site: Site, ada: AppUser, when: str) -> None:
    by_token(page, site, site.token(ada))
    flows = site.flows
    if when == "while":
        popup_of(page)
    store(page, None)
    if when == "before":
        page.click("button:has-text('Connect Google')")
    says(page, "not signed in any more")
    signed_out(page)
    assert site.flows == flows + (when == "while")


def test_only_the_base44_clients_key_is_read(page: Any, site: Site, ada: AppUser) -> None:
    page.goto(site.url)
    store(page, site.token(ada), "token")
    page.goto(site.connect)
    signed_out(page)
    settle(page)
    assert ada.email not in page.content()


@pytest.mark.parametrize("state", ["known", "unknown"])
def test_a_token_in_the_address_is_taken_away_unused(page: Any, site: Site, ada: AppUser, state: str) -> None:
    eve = site.user("eve")
    before = len(site.emulator.requests)
    if state == "known":
        by_token(page, site, site.token(ada), f"?next=/after&access_token={site.token(eve)}")
        shows(page, ada.email)
    else:
        page.goto(f"{site.connect}?access_token={site.token(eve)}&next=/after#x")
        page.wait_for_function("!location.href.includes('access_token')")
        assert page.url.endswith("/base44/connect/calendar?next=/after#x")
        signed_out(page)
    assert "access_token" not in page.url
    assert page.evaluate(f"localStorage.getItem('{KEY}')") != site.token(eve)
    assert eve.email not in page.content()
    sent = [request.header("authorization") or "" for request in site.emulator.requests[before:]]
    assert not any(site.token(eve).split(".")[1] in header for header in sent)


# --- what single-page apps call


def call(page: Any, options: str = "{}", before: str = "") -> None:
    """A page of this origin whose button connects, and tells how it went."""
    page.evaluate(f"""() => {{
      const say = (text) => document.querySelector("p").append(text + ";");
      document.querySelector("button").onclick = async () => {{
        const {{ connectAppUser }} = window.script;
        {before}
        try {{ await connectAppUser("calendar", {options}); say("connected"); }} catch (error) {{ say(error.code); }}
      }};
      return import("/base44/connect.js").then((script) => {{ window.script = script; }});
    }}""")


def told(page: Any, text: str) -> None:
    page.wait_for_selector(f"p:has-text('{text}')")


def test_connect_app_user_goes_on_with_a_new_token(page: Any, site: Site, ada: AppUser) -> None:
    page.goto(site.url)
    store(page, site.token(ada))
    call(page)
    popup = popup_of(page, "button")
    renewed = site.token(ada)
    store(page, renewed)
    with page.expect_request(lambda request: request.headers.get("authorization") == f"Bearer {renewed}"):
        pass
    allow(popup)
    told(page, "connected;")


@pytest.mark.parametrize("claim", ["sub", "none"])
def test_connect_app_user_asks_the_server_where_claims_do_not_tell(
    page: Any, site: Site, ada: AppUser, claim: str
) -> None:
    """Somebody else's token that claims to be the same one's is not what decides: the server does, at each status."""
    page.goto(site.url)
    store(page, site.token(ada))
    call(page)
    popup_of(page, "button")
    other = site.token(site.user("eve"))
    store(page, other if claim == "sub" else f"no.claims-{os.urandom(4).hex()}.here")
    told(page, "other-user;")


@pytest.mark.parametrize("left", ["before", "while"])
def test_connect_app_user_without_a_token(page: Any, site: Site, ada: AppUser, left: str) -> None:
    page.goto(site.url)
    call(page)
    if left == "before":
        page.click("button")
    else:
        store(page, site.token(ada))
        popup_of(page, "button")
        store(page, None)
    told(page, "signed-out;")
    assert len(page.context.pages) == (1 if left == "before" else 2)


def test_an_explicit_token_is_not_compared(page: Any, site: Site, ada: AppUser) -> None:
    page.goto(site.url)
    call(page, f"{{ token: '{site.token(ada)}' }}")
    popup = popup_of(page, "button")
    store(page, site.token(site.user("eve")))
    with page.expect_response("**/status/calendar"):
        pass
    allow(popup)
    told(page, "connected;")
    assert site.connection(ada) is not None


@pytest.mark.parametrize("kind", ["() => window.mine", "async () => window.mine"])
def test_a_function_that_gives_the_token(page: Any, site: Site, ada: AppUser, kind: str) -> None:
    page.goto(site.url)
    first, second = site.token(ada), site.token(ada)
    page.evaluate("token => { window.mine = token }", first)
    call(page, f"{{ token: {kind} }}")
    popup = popup_of(page, "button")
    page.evaluate("token => { window.mine = token }", second)
    with page.expect_request(lambda request: request.headers.get("authorization") == f"Bearer {second}"):
        pass
    allow(popup)
    told(page, "connected;")
    call(page, "{ token: () => null }")
    page.click("button")
    told(page, "connected;signed-out;")


def test_a_blocked_window_and_a_function_that_fails(page: Any, site: Site) -> None:
    """No rejection is left unheard: the fixture `page` would fail."""
    page.goto(site.url)
    call(page, "{ token: () => Promise.reject(new Error('no')) }", "window.open = () => null;")
    page.click("button")
    told(page, "blocked;")
    settle(page)


# --- other tabs


def test_somebody_signs_in_in_another_tab(page: Any, site: Site, ada: AppUser) -> None:
    page.goto(f"{site.connect}?next=/after")
    signed_out(page)
    store(elsewhere(page, site), site.token(ada))
    page.wait_for_selector(f"text={ada.email}")
    settle(page)
    allow(popup_of(page))
    page.wait_for_url("**/after")


def test_another_user_signs_in_in_another_tab(page: Any, site: Site, ada: AppUser) -> None:
    by_token(page, site, site.token(ada))
    grace = site.user("grace")
    store(elsewhere(page, site), site.token(grace))
    page.wait_for_selector(f"text={grace.email}")
    settle(page)
    allow(popup_of(page))
    page.wait_for_url("**/after")
    assert site.connection(grace) is not None
    assert site.connection(ada) is None


def test_the_user_signs_out_in_another_tab(page: Any, site: Site, ada: AppUser) -> None:
    by_token(page, site, site.token(ada))
    elsewhere(page, site).evaluate("localStorage.clear()")
    says(page, "not signed in any more")
    signed_out(page)


def test_somebody_signs_in_again_by_session(page: Any, site: Site, ada: AppUser) -> None:
    by_session(page, site, site.token(ada))
    popup_of(page)
    page.context.clear_cookies()
    signed_out(page)
    other = elsewhere(page, site)
    other.evaluate(
        "async ([url, token]) => (await import(url)).startSession(token)",
        [f"{site.url}/base44/connect.js", site.token(ada)],
    )
    page.evaluate("dispatchEvent(new Event('focus'))")  # as the user comes back
    page.wait_for_selector("button:has-text('Connect Google'):visible")
    shows(page, ada.email)


# --- tokens that expire


def test_an_expired_token(page: Any, site: Site, ada: AppUser) -> None:
    by_token(page, site, site.token(ada))
    # The server remembers whom it has verified: what has expired meanwhile is another token of this user's.
    store(page, site.token(ada, exp=int(time.time()) - 10))
    page.click("button:has-text('Connect Google')")
    says(page, "not signed in any more")
    signed_out(page)


def test_an_expired_token_from_the_start(page: Any, site: Site, ada: AppUser) -> None:
    page.goto(site.url)
    store(page, site.token(ada, exp=int(time.time()) - 10))
    page.goto(site.connect)
    with page.expect_response("**/connect/calendar"):
        page.reload()
    signed_out(page)


def test_an_expired_session(page: Any, site: Site, ada: AppUser) -> None:
    by_session(page, site, site.token(ada))
    popup_of(page)
    page.context.clear_cookies()
    says(page, "not signed in any more")
    signed_out(page)


# --- the button


def test_enter_in_the_inert_half_second_waits(page: Any, site: Site, ada: AppUser, arrive: Any) -> None:
    arrive(page, site, site.token(ada))
    page.add_init_script("performance.now = () => window.elapsed ?? 0")
    page.reload()
    page.wait_for_selector(f"text={ada.email}")
    flows = site.flows
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent").startswith("Connect")
    page.keyboard.press("Enter")
    settle(page)
    assert (site.flows, len(page.context.pages)) == (flows, 1)
    with page.context.expect_page() as opening:
        page.evaluate("window.elapsed = 501")
    allow(opening.value)
    page.wait_for_url("**/after")


def test_a_click_in_the_inert_half_second_is_none(page: Any, site: Site, ada: AppUser) -> None:
    by_token(page, site, site.token(ada))
    page.add_init_script("performance.now = () => window.elapsed ?? 0")
    page.reload()
    page.wait_for_selector(f"text={ada.email}")
    settle(page)  # what the style sheet does is over
    page.click("button:has-text('Connect Google')")
    page.evaluate("window.elapsed = 501")
    settle(page)
    assert len(page.context.pages) == 1


# --- what cannot go on


def test_a_connector_that_the_server_has_no_more(page: Any, site: Site, ada: AppUser, arrive: Any) -> None:
    arrive(page, site, site.token(ada))
    popup_of(page)
    gone = {"type": "urn:base44-web:unknown-connector", "status": 404}
    page.route("**/base44/status/**", lambda route: route.fulfill(status=404, json=gone))
    says(page, "does not offer Google Calendar any more")
    assert not page.is_visible("button")
    assert "try again" not in page.inner_text("main")


def test_a_connector_that_is_not_there_from_the_start(page: Any, site: Site, ada: AppUser) -> None:
    page.goto(site.url)
    store(page, site.token(ada))
    gone = {"type": "urn:base44-web:unknown-connector", "status": 404}
    script = lambda request: request.url == site.connect and request.headers.get("authorization")  # noqa: E731
    page.route("**/connect/calendar", lambda route: (
        route.fulfill(status=404, json=gone) if script(route.request) else route.continue_()))  # fmt: skip
    page.goto(site.connect)
    says(page, "does not offer Google Calendar any more")
    assert not page.is_visible("button")


def test_a_connector_that_the_platform_does_not_know(page: Any, site: Site, ada: AppUser) -> None:
    by_token(page, site, site.token(ada))
    body = b'{"detail": "Connector authorization not configured", "code": "NOT_FOUND"}'
    site.emulator.fault(Fault(status=404, body=body), path="*/initiate", times=None)
    page.click("button:has-text('Connect Google')")
    says(page, "does not offer Google Calendar any more")
    assert "try again" not in page.inner_text("main")
    window_closes(page)


# --- words


def test_words_before_anything_was_done(page: Any, site: Site, ada: AppUser, arrive: Any) -> None:
    arrive(page, site, site.token(ada))
    text = page.inner_text("main")
    assert "nothing happens" not in text
    assert "You can disconnect at any time on this page." in text
    assert page.inner_text("[role=status]") == ""
    popup_of(page)
    says(page, WAITING)
    assert "nothing happens" not in page.inner_text("main")


def test_words_after_a_refusal(page: Any, site: Site, ada: AppUser, arrive: Any) -> None:
    """No page of ours can see that somebody refused: what it says holds before and after."""
    arrive(page, site, site.token(ada))
    popup = popup_of(page)
    popup.click("text=Refuse")
    popup.wait_for_selector("h1:has-text('Not connected')")
    text = page.inner_text("[role=status]")
    assert "Finish" not in text
    assert "if you refused, try again here" in text
    page.evaluate("dispatchEvent(new Event('focus'))")  # as the user comes back, and leaves the window open
    says(page, "Google Calendar is not connected yet. If you refused")
    says(page, "Connected, and nothing happens? Continue")
    page.evaluate("dispatchEvent(new Event('blur'))")
    says(page, WAITING)
    popup.close()
    says(page, "Google Calendar is not connected yet. If you refused")
    allow(popup_of(page))
    page.wait_for_url("**/after")


# --- connected, and it does not work


def test_reconnect(page: Any, site: Site, ada: AppUser, arrive: Any) -> None:
    """The permission was taken back at the provider; the platform does not know, and still gives the token."""
    old = site.emulator.connect(ada, CALENDAR_ID)
    arrive(page, site, site.token(ada))
    page.wait_for_selector("h1:has-text('Google Calendar is connected'):visible")
    popup = popup_of(page, "button:has-text('Reconnect')")
    assert site.connection(ada) is None
    allow(popup)
    page.wait_for_url("**/after")
    assert site.connection(ada)["token"] != old


def test_reconnect_where_disconnecting_fails(page: Any, site: Site, ada: AppUser, arrive: Any) -> None:
    site.emulator.connect(ada, CALENDAR_ID)
    arrive(page, site, site.token(ada))
    site.emulator.fault(Fault(status=500), method="DELETE", times=None)
    page.click("button:has-text('Reconnect')")
    says(page, "does not work at the moment")
    assert page.is_visible("button:has-text('Disconnect')")
    window_closes(page)


def test_connected_for_the_platform_and_without_a_token(page: Any, site: Site, ada: AppUser) -> None:
    by_token(page, site, site.token(ada))
    site.emulator.fault(Fault(status=200, body=ALREADY), path="*/initiate", times=1)
    popup = popup_of(page)  # the script has disconnected, and begun anew
    assert any(request.method == "DELETE" for request in site.emulator.requests)
    allow(popup)
    page.wait_for_url("**/after")


def test_connected_for_the_platform_and_without_a_token_by_session(page: Any, site: Site, ada: AppUser) -> None:
    by_session(page, site, site.token(ada))
    site.emulator.fault(Fault(status=200, body=ALREADY), path="*/initiate", times=1)
    with page.context.expect_page() as opening:
        page.click("button:has-text('Connect Google')")
    opening.value.wait_for_selector("text=You can close this window")
    opening.value.close()
    says(page, "is not connected yet")
    site.emulator.requests.clear()
    popup = popup_of(page)
    assert any(request.method == "DELETE" for request in site.emulator.requests)
    allow(popup)
    page.wait_for_url("**/after")


# --- without scripts


def test_without_scripts(chromium: Any, page: Any, site: Site, ada: AppUser) -> None:
    by_session(page, site, site.token(ada))
    source = page.content()
    assert re.findall(r"<script(?![^>]*\bsrc=)", source) == []
    assert re.findall(r"\son[a-z]+=|\sstyle=", source) == []
    context = chromium.new_context(java_script_enabled=False, storage_state=page.context.storage_state())
    context.set_default_timeout(20_000)
    try:
        plain = context.new_page()
        plain.goto(f"{site.connect}?next=/after")
        plain.wait_for_timeout(600)  # the style sheet's half second; no script runs here
        with context.expect_page() as opening:
            plain.click("button:visible")
        allow(opening.value)
        plain.click("a:has-text('Continue'):visible")
        plain.wait_for_url("**/after")
        plain.goto(f"{site.connect}?next=/after")
        assert plain.is_visible("h1:has-text('Google Calendar is connected')")
        assert not plain.is_visible("button:has-text('Reconnect')")
        plain.wait_for_timeout(600)
        plain.click("button:has-text('Disconnect')")
        plain.wait_for_selector("button:has-text('Connect Google')")
    finally:
        context.close()
