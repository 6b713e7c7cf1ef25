"""The redirect views in real Chromium: in every framework, under real servers, against the emulator's consent page."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from base44_web import AppUser
from base44_web.testing import CALENDAR_ID, Emulator, Fault
from base44_web.testing import _emulator as emulator_module
from tests.checks import shows
from tests.conftest import CHROMIUM, OPTIONS
from tests.npm import installed
from tests.serving import PATIENCE, app_environment, needs, serving

SITES = {
    "starlette": ("uvicorn", "starlette-async"),
    "fastapi": ("uvicorn", "fastapi-async"),
    "django": ("uvicorn", "django-asgi-async"),
    "flask": ("gunicorn-threads", "flask-sync"),
}
SCREENSHOTS = os.environ.get("SCREENSHOTS")  # a folder to look at them


@dataclass
class Site:
    """A server-rendered site with a session, and the platform behind it."""

    url: str
    guarded: str
    emulator: Emulator
    platform: str

    @property
    def connect(self) -> str:
        return f"{self.url}/base44/connect/calendar"

    @property
    def other_site(self) -> str:
        """The platform's pages under another site's name: for cookies, 127.0.0.1 and localhost are two."""
        return self.platform.replace("127.0.0.1", "localhost")


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with ExitStack() as stack:
        made: dict[str, Site] = {}

        def site(framework: str) -> Site:
            if framework not in made:
                made[framework] = stack.enter_context(serving_site(framework, tmp_path_factory.mktemp(framework)))
            return made[framework]

        yield site


@contextmanager
def serving_site(framework: str, folder: Path) -> Iterator[Site]:
    server, driver = SITES[framework]
    needs(server, driver)
    with Emulator.demo() as emulator, emulator.serve() as platform:
        environment = app_environment(emulator, platform.url, driver) | {
            "BASE44_TOKEN_SOURCES": "header,session",
            "BASE44_SECRET": "a session secret of more than 32 characters",
            "BASE44_CONNECTOR_TYPES": "calendar=googlecalendar",
            "BASE44_SIGN_IN_URL": "/sign-in",
            "BASE44_APP_NAME": "Daybook",
            "TEST_CORS_ORIGIN": platform.url,
        }
        with serving(server, environment, folder / "output") as (url, _):
            guarded = f"{url}/async/guarded" if framework == "django" else f"{url}/guarded"
            yield Site(url, guarded, emulator, platform.url)


@pytest.fixture(params=SITES)
def site(request: pytest.FixtureRequest, sites: Any) -> Iterator[Site]:
    site: Site = sites(request.param)
    yield site
    site.emulator.clear_faults()
    site.emulator.page = None


@pytest.fixture
def one_site(sites: Any) -> Iterator[Site]:
    """For what does not depend on the framework."""
    site: Site = sites("flask")
    yield site
    site.emulator.clear_faults()
    site.emulator.page = None


@pytest.fixture
def ada(request: pytest.FixtureRequest) -> AppUser:
    site: Site = request.getfixturevalue("site" if "site" in request.fixturenames else "one_site")
    return new_user(site, "ada")


def new_user(site: Site, name: str) -> AppUser:
    return site.emulator.add_user(f"{name}-{os.urandom(4).hex()}@test.example")


@contextmanager
def opened(browser: Any, **options: Any) -> Iterator[Any]:
    """A page in a context of its own; a script that throws fails the test."""
    context = browser.new_context(**{"viewport": {"width": 800, "height": 640}, **options})
    context.set_default_timeout(PATIENCE * 1000)
    errors: list[str] = []
    context.on("weberror", lambda error: errors.append(str(error.error)))
    try:
        yield context.new_page()
        assert errors == []
    finally:
        context.close()


def sign_in(page: Any, site: Site, user: AppUser) -> None:
    page.goto(site.connect)
    page.evaluate("async ([url, token]) => (await import(url)).startSession(token)", [
        f"{site.url}/base44/connect.js", site.emulator.sign_in(user)])  # fmt: skip


def to_connect_page(page: Any, site: Site, user: AppUser) -> None:
    sign_in(page, site, user)
    page.goto(site.guarded)
    page.wait_for_selector("h1:has-text('Connect Google Calendar')")
    assert page.url.startswith(f"{site.connect}?next=/")
    settle(page)


def settle(page: Any) -> None:
    """Longer than the button is inert, which begins as the script runs: on a busy machine after the page is there."""
    page.wait_for_load_state()
    page.wait_for_timeout(600)


def popup_of(page: Any, button: str = "button:has-text('Connect')") -> Any:
    with page.context.expect_page() as opening:
        page.click(button)
    return opening.value


def allow(popup: Any) -> None:
    popup.click("text=Allow")
    popup.wait_for_selector("h1:has-text('Connected')")


def arrived(page: Any, site: Site, user: AppUser) -> None:
    """On the guarded page, which shows this user's connection and nobody else's."""
    page.wait_for_url(site.guarded)
    row = site.emulator._state.connection("app_user", CALENDAR_ID, user.id)
    assert row is not None
    shows(page, row["token"], "body")


def message(page: Any, text: str) -> None:
    page.wait_for_selector(f"[role=status]:has-text('{text}')")


def flows_started(site: Site) -> int:
    return sum(request.target.endswith("/initiate") for request in site.emulator.requests)


# --- the way there and back


def test_connect_and_disconnect(chromium: Any, site: Site, ada: AppUser) -> None:
    with opened(chromium) as page:
        to_connect_page(page, site, ada)
        shows(page, f"You are signed in to Daybook as {ada.email}.")
        popup = popup_of(page)
        popup.wait_for_selector("text=Allow")
        shows(popup, f"wants to use Google Calendar for {ada.email}.")
        shows(popup, "A stand-in.")
        assert popup.evaluate("window.opener") is None
        message(page, "Decide in the window")
        allow(popup)
        arrived(page, site, ada)
        page.goto(f"{site.connect}?next=/x")
        page.wait_for_selector("h1:has-text('is connected')")
        shows(page, "Daybook can use Google Calendar for you.")
        settle(page)
        page.click("button:has-text('Disconnect')")
        page.wait_for_selector("h1:has-text('Connect Google Calendar')")
        page.goto(site.guarded)
        assert page.url.startswith(site.connect)


def test_in_the_whole_browser(browser_type: Any, one_site: Site, ada: AppUser) -> None:
    """All else runs in its engine, without what people see around a page."""
    with browser_type.launch(executable_path=CHROMIUM, args=OPTIONS) as browser, opened(browser) as page:
        to_connect_page(page, one_site, ada)
        allow(popup_of(page))
        arrived(page, one_site, ada)


def test_refused_and_tried_again(chromium: Any, one_site: Site, ada: AppUser) -> None:
    with opened(chromium) as page:
        to_connect_page(page, one_site, ada)
        popup = popup_of(page)
        popup.click("text=Refuse")
        popup.wait_for_selector("h1:has-text('Not connected')")
        popup.close()
        message(page, "is not connected yet")
        settle(page)
        allow(popup_of(page))
        arrived(page, one_site, ada)


def test_two_users_see_only_their_own(chromium: Any, one_site: Site, ada: AppUser) -> None:
    grace = new_user(one_site, "grace")
    with opened(chromium) as first, opened(chromium) as second:
        for page, user in ((first, ada), (second, grace)):
            to_connect_page(page, one_site, user)
            shows(page, user.email)
        popups = [popup_of(first), popup_of(second)]
        for popup in popups:
            allow(popup)
        arrived(first, one_site, ada)
        arrived(second, one_site, grace)
        assert first.inner_text("body") != second.inner_text("body")


def test_without_scripts(chromium: Any, site: Site, ada: AppUser) -> None:
    with opened(chromium) as page:
        sign_in(page, site, ada)
        state = page.context.storage_state()
    with opened(chromium, java_script_enabled=False, storage_state=state) as page:
        page.goto(site.guarded)
        settle(page)
        tab = popup_of(page)
        allow(tab)
        page.click("a:has-text('Continue'):visible")
        arrived(page, site, ada)


def test_a_token_in_local_storage(chromium: Any, one_site: Site, ada: AppUser) -> None:
    """A single-page app of this origin: the server cannot know who opens the connect page, its script can."""
    with opened(chromium) as page:
        page.goto(f"{one_site.connect}?next=/base44/connect/calendar%3Fhere")
        shows(page, "sign in")
        page.evaluate("token => localStorage.setItem('base44_access_token', token)", one_site.emulator.sign_in(ada))
        page.reload()
        page.wait_for_selector(f"text={ada.email}")
        settle(page)
        allow(popup_of(page))
        page.wait_for_url("**/connect/calendar?here")
        page.wait_for_selector(f"text={ada.email}")
        page.wait_for_selector("button:has-text('Disconnect')")
        settle(page)
        page.click("button:has-text('Disconnect')")
        page.wait_for_selector("button:has-text('Connect Google')")
        assert one_site.emulator._state.connection("app_user", CALENDAR_ID, ada.id) is None


def test_a_single_page_app_of_another_origin(chromium: Any, site: Site, ada: AppUser) -> None:
    site.emulator.page = f"""<!doctype html><title>App</title><button>Connect</button><p></p><script type="module">
      import {{ connectAppUser, disconnectAppUser, isConnected }} from "{site.url}/base44/connect.js";
      const say = (text) => document.querySelector("p").append(text + ";");
      document.querySelector("button").onclick = async () => {{
        try {{
          await connectAppUser("calendar", {{ onState: say }});
          say(String(await isConnected("calendar")));
          await disconnectAppUser("calendar");
          say(String(await isConnected("calendar")));
        }} catch (error) {{ say(error.name + " " + error.code); }}
      }};
    </script>""".encode()
    with opened(chromium) as page:
        page.goto(site.platform)
        page.click("button")
        page.wait_for_selector("p:has-text('ConnectError signed-out')")
        page.evaluate("token => localStorage.setItem('base44_access_token', token)", site.emulator.sign_in(ada))
        popup = popup_of(page)
        popup.wait_for_selector("text=Allow")
        assert popup.evaluate("window.opener") is None
        allow(popup)
        page.wait_for_selector("p:has-text('waiting;true;false;')")


def test_a_session_beside_another_token(chromium: Any, one_site: Site, ada: AppUser) -> None:
    """What lies in localStorage does not matter to somebody with a session."""
    with opened(chromium) as page:
        sign_in(page, one_site, ada)
        other = one_site.emulator.sign_in(new_user(one_site, "eve"))
        page.evaluate("token => localStorage.setItem('token', token)", other)
        page.goto(one_site.guarded)
        settle(page)
        allow(popup_of(page))
        arrived(page, one_site, ada)


def test_another_token_meanwhile(chromium: Any, one_site: Site, ada: AppUser) -> None:
    put = "token => localStorage.setItem('base44_access_token', token)"
    with opened(chromium) as page:
        page.goto(one_site.connect)
        page.evaluate(put, one_site.emulator.sign_in(ada))
        page.reload()
        page.wait_for_selector(f"text={ada.email}")
        settle(page)
        popup = popup_of(page)
        popup.wait_for_selector("text=Allow")
        page.evaluate(put, one_site.emulator.sign_in(new_user(one_site, "eve")))
        message(page, "Another user has signed in")


def test_a_page_that_cannot_learn_the_account_yet(chromium: Any, one_site: Site, ada: AppUser) -> None:
    with opened(chromium) as page:
        page.goto(one_site.connect)
        page.evaluate("token => localStorage.setItem('base44_access_token', token)", one_site.emulator.sign_in(ada))
        one_site.emulator.connect(ada, CALENDAR_ID)
        one_site.emulator.fault(Fault(status=500), path="*/token", times=None)
        page.reload()
        message(page, "does not work at the moment")
        assert not page.is_visible("button")
        one_site.emulator.clear_faults()
        page.wait_for_selector("button:has-text('Disconnect')")
        settle(page)
        one_site.emulator.fault(Fault(status=500), method="DELETE", times=None)
        page.click("button:has-text('Disconnect')")
        message(page, "does not work at the moment")
        assert page.is_visible("button:has-text('Disconnect')")  # still connected


def test_an_answer_that_is_none_of_ours(chromium: Any, one_site: Site, ada: AppUser) -> None:
    with opened(chromium) as page:
        page.goto(one_site.connect)
        page.evaluate("token => localStorage.setItem('base44_access_token', token)", one_site.emulator.sign_in(ada))
        page.reload()
        page.wait_for_selector(f"text={ada.email}")
        settle(page)
        page.route("**/connect/calendar", lambda route: route.fulfill(status=200, body="<html>Sign in to the Wi-Fi"))
        popup = popup_of(page)
        message(page, "does not work at the moment")
        if not popup.is_closed():
            popup.wait_for_event("close")


# --- what goes wrong


def test_a_blocked_window(browser_type: Any, one_site: Site, ada: AppUser) -> None:
    """In the whole browser, which alone blocks windows."""
    blocking = {"executable_path": CHROMIUM, "args": OPTIONS, "ignore_default_args": ["--disable-popup-blocking"]}
    with browser_type.launch(**blocking) as browser, opened(browser) as page:
        to_connect_page(page, one_site, ada)
        before = flows_started(one_site)
        # Chromium lets a script open windows for 5 seconds after a person did something.
        page.evaluate("setTimeout(() => document.querySelector('form button').click(), 6000)")
        page.wait_for_timeout(6500)
        message(page, "blocked the window")
        screenshot(page, "blocked")
        assert flows_started(one_site) == before
        settle(page)
        allow(popup_of(page))
        arrived(page, one_site, ada)


def test_an_expired_link(chromium: Any, one_site: Site, ada: AppUser, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(chromium) as page:
        to_connect_page(page, one_site, ada)
        with monkeypatch.context() as patch:
            patch.setattr(emulator_module, "_LINK_LIFETIME", -1)
            popup = popup_of(page)
            popup.wait_for_selector("text=This link has expired")
        popup.close()
        message(page, "is not connected yet")
        settle(page)
        allow(popup_of(page))
        arrived(page, one_site, ada)


def test_taking_too_long(chromium: Any, one_site: Site, ada: AppUser) -> None:
    with opened(chromium) as page:
        sign_in(page, one_site, ada)
        page.clock.install()
        page.goto(f"{one_site.connect}?next=/x")
        page.clock.run_for(600)
        popup = popup_of(page)
        popup.wait_for_selector("text=Allow")
        page.clock.fast_forward("11:00")
        message(page, "took too long")
        assert page.is_visible("button")


def test_another_user_signs_in_meanwhile(chromium: Any, one_site: Site, ada: AppUser) -> None:
    grace = new_user(one_site, "grace")
    with opened(chromium) as page:
        to_connect_page(page, one_site, ada)
        sign_in(page.context.new_page(), one_site, grace)
        before = flows_started(one_site)
        popup = popup_of(page)
        popup.wait_for_selector("h1:has-text('Another user')")
        message(page, "Another user has signed in")
        screenshot(page, "other-user")
        assert flows_started(one_site) == before


def test_signed_out_meanwhile(chromium: Any, one_site: Site, ada: AppUser) -> None:
    with opened(chromium) as page:
        to_connect_page(page, one_site, ada)
        popup = popup_of(page)
        popup.wait_for_selector("text=Allow")
        page.context.clear_cookies()
        message(page, "not signed in any more")


def test_a_lost_network(chromium: Any, one_site: Site, ada: AppUser) -> None:
    with opened(chromium) as page:
        to_connect_page(page, one_site, ada)
        popup = popup_of(page)
        popup.wait_for_selector("text=Allow")
        page.context.set_offline(True)
        message(page, "cannot reach the server")
        screenshot(page, "offline")
        page.context.set_offline(False)
        allow(popup)
        arrived(page, one_site, ada)


def test_a_failing_platform(chromium: Any, one_site: Site, ada: AppUser) -> None:
    with opened(chromium) as page:
        to_connect_page(page, one_site, ada)
        popup = popup_of(page)
        popup.wait_for_selector("text=Allow")
        one_site.emulator.fault(Fault(status=500), path="*/token", times=None)
        message(page, "does not work at the moment")
        one_site.emulator.clear_faults()
        allow(popup)
        arrived(page, one_site, ada)


# --- pages that mean no good


def test_a_consent_page_with_an_opener_policy_of_its_own(chromium: Any, one_site: Site, ada: AppUser) -> None:
    policy = Fault(headers={"Cross-Origin-Opener-Policy": "same-origin"})
    one_site.emulator.fault(policy, path="/provider/consent", times=None)
    with opened(chromium) as page:
        to_connect_page(page, one_site, ada)
        popup = popup_of(page)
        popup.wait_for_selector("text=Allow")
        settle(page)
        allow(popup)
        arrived(page, one_site, ada)


def test_a_provider_that_reaches_for_its_opener(chromium: Any, one_site: Site, ada: AppUser) -> None:
    script = b"""<title>evil</title><script>
      try { opener.location = "https://evil.example/" } catch (error) { document.title = "no opener" }
      try { top.opener.postMessage("x", "*") } catch (error) { document.title += "," }
    </script>"""
    one_site.emulator.fault(Fault(body=script), path="/provider/consent", times=None)
    with opened(chromium) as page:
        page.context.route("https://evil.example/**", lambda route: route.abort())
        to_connect_page(page, one_site, ada)
        popup = popup_of(page)
        popup.wait_for_function("document.title.startsWith('no opener') || location.hostname === 'evil.example'")
        settle(page)
        assert page.url.startswith(one_site.connect)


ATTACK = """<!doctype html><title>Win a prize</title>
<iframe src="{connect}" width="400" height="300"></iframe>
<iframe name="sink"></iframe>
<form id="start" method="post" action="{connect}" target="sink"></form>
<form id="end" method="post" action="{base}/disconnect/calendar" target="sink"></form>
<form id="login" method="post" action="{base}/session" target="sink"><input name="token" value="{token}"></form>
<script>
const outcomes = [];
const attempt = (what, call) => call().then((got) => outcomes.push(what + " " + got), () => outcomes.push(what + " failed"));
const read = (answer) => answer.text();
Promise.all([
  attempt("status", () => fetch("{base}/status/calendar", {{ credentials: "include" }}).then(read)),
  attempt("page", () => fetch("{connect}", {{ credentials: "include" }}).then(read)),
  attempt("post", () => fetch("{connect}", {{ method: "POST", credentials: "include" }}).then(read)),
  attempt("delete", () => fetch("{base}/disconnect/calendar", {{ method: "DELETE", credentials: "include" }}).then(read)),
  attempt("blind", () => fetch("{connect}", {{ method: "POST", credentials: "include", mode: "no-cors" }}).then(read)),
  attempt("blind end", () => fetch("{base}/disconnect/calendar", {{ method: "POST", credentials: "include", mode: "no-cors" }}).then(read)),
]).then(async () => {{
  for (const form of document.forms) {{ form.submit(); await new Promise((done) => setTimeout(done, 300)); }}
  document.title = "done";
}});
</script>"""


@pytest.mark.parametrize("origin", ["same-site", "cross-site"])
def test_a_page_of_another_origin(chromium: Any, site: Site, ada: AppUser, origin: str) -> None:
    site.emulator.connect(ada, CALENDAR_ID)
    mallory = new_user(site, "mallory")
    attacker = site.platform if origin == "same-site" else site.other_site
    page_of_attacker = ATTACK.format(
        connect=site.connect, base=f"{site.url}/base44", token=site.emulator.sign_in(mallory)
    )
    with opened(chromium) as page:
        sign_in(page, site, ada)
        cookies = page.context.cookies()
        site.emulator.page = page_of_attacker.encode()
        site.emulator.requests.clear()
        page.goto(attacker)
        page.wait_for_function("document.title === 'done'")
        outcomes = page.evaluate("outcomes")
        settle(page)
        # CORS is open to the app's own origin, which here is the platform's: a script may ask, and reads no more
        # than that nobody is signed in.
        assert not any("true" in outcome or ada.email in outcome for outcome in outcomes), outcomes
        framed = next(frame for frame in page.frames if frame.parent_frame and frame.name != "sink")
        assert ada.email not in framed.evaluate("document.documentElement.innerText")
        assert not any(request.target.endswith("initiate") for request in site.emulator.requests)
        assert not any(request.method == "DELETE" for request in site.emulator.requests)
        assert site.emulator._state.connection("app_user", CALENDAR_ID, ada.id) is not None
        assert page.context.cookies() == cookies  # nobody was signed in as somebody else


# --- people


def test_the_button_is_inert_at_first(chromium: Any, one_site: Site, ada: AppUser) -> None:
    with opened(chromium) as page:
        sign_in(page, one_site, ada)
        page.add_init_script("performance.now = () => window.elapsed ?? 0")
        page.goto(one_site.connect)
        before = flows_started(one_site)
        page.evaluate("document.querySelector('button').click()")
        page.evaluate("window.elapsed = 499; document.querySelector('button').click()")
        settle(page)
        assert len(page.context.pages) == 1
        assert flows_started(one_site) == before
        page.evaluate("window.elapsed = 501")
        allow(popup_of(page))


def test_with_the_keyboard_alone(chromium: Any, one_site: Site, ada: AppUser) -> None:
    with opened(chromium) as page:
        to_connect_page(page, one_site, ada)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.tagName") == "BUTTON"
        with page.context.expect_page() as opening:
            page.keyboard.press("Enter")
        popup = opening.value
        popup.wait_for_selector("text=Allow")
        popup.keyboard.press("Tab")
        popup.keyboard.press("Enter")
        arrived(page, one_site, ada)


def test_accessibility(chromium: Any, one_site: Site, ada: AppUser) -> None:
    platform = one_site.platform
    for scheme, width in (
        ("light", 320),
        ("dark", 800),
    ):  # contrast is the scheme's, what is beyond the edge the width's
        with opened(chromium, color_scheme=scheme) as page:
            page.set_viewport_size({"width": width, "height": 640})
            suffix = f"{scheme}-{width}"
            page.goto(one_site.guarded)
            check_page(page, f"sign-in-{suffix}")
            page.goto(one_site.connect)
            check_page(page, f"unknown-{suffix}")
            to_connect_page(page, one_site, ada)
            check_page(page, f"start-{suffix}")
            popup = popup_of(page)
            popup.wait_for_selector("text=Allow")
            message(page, "Decide in the window")
            check_page(page, f"waiting-{suffix}")
            check_page(popup, f"consent-{suffix}")
            popup.click("text=Refuse")
            popup.wait_for_selector("h1:has-text('Not connected')")
            check_page(popup, f"refused-{suffix}")
            popup.close()
            message(page, "is not connected yet")
            check_page(page, f"closed-{suffix}")
            page.goto("about:blank")  # the page would go on by itself
            one_site.emulator.connect(ada, CALENDAR_ID)
            page.goto(one_site.connect)
            check_page(page, f"connected-{suffix}")
            one_site.emulator.disconnect(ada, CALENDAR_ID)
            for name, path in (("overview", "/"), ("sign-in", "/login?from_url=/")):
                page.goto(platform + path)
                check_page(page, f"emulator-{name}-{suffix}")


def check_page(page: Any, name: str) -> None:
    """Nothing on a page keeps anybody out, and nothing of it is beyond the edge."""
    screenshot(page, name)
    axe = installed(Path(__file__).parent, "axe-core") / "axe.min.js"
    # Beside the page's policy: no page of ours lets a script of others in.
    page.evaluate(axe.read_text())
    result = page.evaluate("axe.run({ resultTypes: ['violations'] })")
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in result["violations"]] == []
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def screenshot(page: Any, name: str) -> None:
    if SCREENSHOTS:
        settle(page)
        page.screenshot(path=Path(SCREENSHOTS) / f"{re.sub('[^a-z0-9-]', '', name)}.png", full_page=True)
