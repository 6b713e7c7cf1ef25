"""The examples, as they are: over HTTP under the servers that people use, and as the demo in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from base44_web import AppUser
from base44_web.testing import CALENDAR_ID, Emulator, Fault
from tests.browser.test_browser import allow, check_page, opened, settle
from tests.checks import NAVIGATION as NAVIGATION_PAIRS
from tests.checks import shows
from tests.serving import PATIENCE, ROOT, app_environment, eventually, free_port, running

NAVIGATION = dict(NAVIGATION_PAIRS)

UVICORN = ["-m", "uvicorn", "--log-level", "warning", "--port", "{port}"]
GUNICORN = ["-m", "gunicorn", "--log-level", "warning", "-w", "2", "--threads", "2", "-b", "127.0.0.1:{port}"]
EXAMPLES = {
    "fastapi": ("fastapi", [*UVICORN, "app:app"]),
    "starlette": ("starlette", [*UVICORN, "app:app"]),
    "flask": ("flask", [*GUNICORN, "app:app"]),
    "django-asgi": ("django", [*UVICORN, "project.asgi:application"]),
    "django-wsgi": ("django", [*GUNICORN, "project.wsgi:application"]),
}


@pytest.fixture(params=EXAMPLES)
def example(request: pytest.FixtureRequest, emulator: Emulator, platform: str, tmp_path: Path) -> Iterator[str]:
    framework, command = EXAMPLES[request.param]
    for module in (framework, "uvicorn", "gunicorn"):
        pytest.importorskip(module)
    port = free_port()
    environment = app_environment(emulator, platform, "") | {
        "GOOGLE_API_URL": f"{platform}/provider", "SLACK_API_URL": f"{platform}/provider/slack",
        "APP_ORIGIN": "https://app.example", "SECRET_KEY": "k" * 40, "DJANGO_SECRET_KEY": "k" * 40,
    }  # fmt: skip
    command = [word.format(port=port) for word in command]
    with running(command, ROOT / "examples" / framework, environment, port, tmp_path / "output"):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def ada(emulator: Emulator) -> AppUser:
    return emulator.add_user("ada@test.example", full_name="Ada Lovelace")


def test_over_http(example: str, emulator: Emulator, ada: AppUser) -> None:
    headers = {"Authorization": f"Bearer {emulator.sign_in(ada)}"}
    with httpx2.Client(base_url=example, timeout=PATIENCE) as site:
        assert site.get("/calendar").headers["www-authenticate"] == "Bearer"
        assert site.get("/calendar", headers=NAVIGATION).status_code == 401
        refused = site.get("/calendar", headers={"Authorization": "Bearer a.b.c"})
        assert refused.json()["type"] == "urn:base44-web:invalid-token"
        problem = site.get("/calendar", headers=headers).json()
        assert problem["connect_url"] == "/base44/connect/calendar"
        assert site.get(problem["status_url"], headers=headers).json() == {"connected": False}
        sent = site.get("/calendar?a=b", headers=headers | NAVIGATION)
        assert (sent.status_code, sent.headers["location"]) == (303, "/base44/connect/calendar?next=/calendar%3Fa%3Db")
        page = site.get(sent.headers["location"], headers=headers | NAVIGATION)
        assert "Connect Google Calendar" in page.text
        assert "ada@test.example" in page.text

        started = site.post("/base44/connect/calendar", headers=headers | {"Accept": "application/json"})
        url = started.json()["redirect_url"]
        assert (
            "Not connected" in httpx2.post(url, data={"answer": "refuse"}, follow_redirects=True, timeout=PATIENCE).text
        )
        started = site.post("/base44/connect/calendar", headers=headers | {"Accept": "text/html"})
        assert started.status_code == 303
        done = httpx2.post(
            started.headers["location"], data={"answer": "approve"}, follow_redirects=True, timeout=PATIENCE
        )
        assert "<h1>Connected</h1>" in done.text
        # The platform is asked once a second.
        connected = {"connected": True}
        assert eventually(lambda: site.get("/base44/status/calendar", headers=headers).json() == connected)
        for _ in range(4):  # whichever worker answers
            events = site.get("/calendar", headers=headers)
            assert "Ada meets the team" in events.text
            assert "ada@test.example" in events.text

        emulator.fault(Fault(status=500), path="/provider/calendar/*")
        assert site.get("/calendar", headers=headers).status_code == 502
        emulator.fault(Fault(status=500), path="*/token", times=None)
        assert site.get("/calendar", headers=headers).status_code == 503
        emulator.clear_faults()
        assert site.delete("/base44/disconnect/calendar", headers=headers).json() == {"connected": False}
        assert site.get("/calendar", headers=headers).status_code == 403
        assert site.get("/base44/connect/nobody", headers=headers).status_code == 404
        assert site.post("/base44/session", headers={"Sec-Fetch-Site": "cross-site"}).status_code in (403, 404)


def test_what_calls_what(example: str, emulator: Emulator, ada: AppUser) -> None:
    """A page tells its own request's calls, and no credential; so does the header of an API."""
    token = emulator.sign_in(ada)
    provider = emulator.connect(ada, CALENDAR_ID)
    with httpx2.Client(base_url=example, timeout=PATIENCE, headers={"Authorization": f"Bearer {token}"}) as site:
        answer = site.get("/calendar")
        told = answer.headers.get("server-timing") or answer.text
        assert f"/api/apps/demo-app/app-user-auth/connectors/{CALENDAR_ID}/token" in told
        assert "on-behalf-of" in told
        assert "/tokens/slack" not in told
        for secret in (emulator.service_token, token, provider):
            assert secret not in answer.text + str(answer.headers)
        source = site.get("/source").text
        assert '<span id="calendar">@' in source
        assert "connection.auth()" in source

        emulator.fault(Fault(status=404), path="*/tokens/slack", times=None)  # nobody has connected it
        path = "/slack" if "server-timing" in answer.headers else "/"
        assert site.get(path, headers={"Cache-Control": "no-cache"}).status_code == 200


def test_sessions_of_several_workers(example: str, emulator: Emulator, ada: AppUser) -> None:
    with httpx2.Client(base_url=example, timeout=PATIENCE) as site:
        same = {"Sec-Fetch-Site": "same-origin"}
        answer = site.post("/base44/session", data={"token": emulator.sign_in(ada)}, headers=same)
        if answer.status_code == 404:
            return  # a single-page app: its token comes in a header
        cookie = {"Cookie": answer.headers["set-cookie"].partition(";")[0]}
        for _ in range(6):
            assert site.get("/base44/status/calendar", headers=cookie).json() == {"connected": False}


@pytest.mark.parametrize("framework", ["fastapi", "starlette", "flask", "django"])
def test_the_demo(framework: str, chromium: Any, tmp_path: Path) -> None:
    """As a new user would: one command; sign in, connect on the consent page, see one's own events; both users.

    Ada on a phone; Grace in the dark, and with the keyboard alone.
    """
    for module in (framework, "uvicorn"):
        pytest.importorskip(module)
    port, platform_port = free_port(), free_port()
    command = ["-m", "base44_web.cli", "demo", "--framework", framework, "--port", str(port)]
    command += ["--platform-port", str(platform_port)]
    looks: dict[str, dict[str, Any]] = {
        "Ada": {"viewport": {"width": 360, "height": 740}, "color_scheme": "light"},
        "Grace": {"viewport": {"width": 1000, "height": 800}, "color_scheme": "dark"},
    }
    with running(command, ROOT, {}, port, tmp_path / "output"):
        for first, look in looks.items():
            with opened(chromium, **look) as page:
                keyboard = first == "Grace"
                walk_through(page, framework, f"http://127.0.0.1:{port}/", first, Hands(page, keyboard=keyboard))


class Hands:
    """A pointer, or a keyboard alone."""

    def __init__(self, page: Any, *, keyboard: bool) -> None:
        self.page = page
        self.keyboard = keyboard

    def press(self, selector: str) -> None:
        """Press a button, or follow a link."""
        self._reach(selector)
        if self.keyboard:
            self.page.keyboard.press("Enter")
        else:
            self.page.click(selector)

    def fill(self, selector: str, text: str) -> None:
        self._reach(selector)
        if self.keyboard:
            self.page.keyboard.type(text)
        else:
            self.page.fill(selector, text)

    def _reach(self, selector: str) -> None:
        self.page.wait_for_selector(selector)
        for _ in range(30 if self.keyboard else 0):
            if self.page.eval_on_selector(selector, "element => element === document.activeElement"):
                # The ring that shows where one is.
                assert self.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
                return
            self.page.keyboard.press("Tab")
        assert not self.keyboard, f"no Tab leads to {selector}"


def walk_through(page: Any, framework: str, url: str, first: str, hands: Hands) -> None:
    rendered = framework in ("flask", "django")

    def look(name: str) -> None:
        check_page(page, f"demo-{framework}-{first.lower()}-{name}")

    page.goto(url)
    if rendered:
        page.wait_for_selector("#slack:has-text('Example')")
        look("home")
        hands.press("a:has-text('Open my calendar')")
        page.wait_for_url("**/calendar")  # home has a link to sign in, too
        hands.press("a:has-text('Sign in')")  # of the guard's page
    page.wait_for_selector(".note:has-text('A stand-in.'):visible")
    look("sign-in")
    hands.fill("[name=email]", f"{first.lower()}@example.com")
    hands.fill("[name=password]", "correct horse")
    hands.press("form button:has-text('Sign in')")
    if framework == "starlette":
        hands.press("#connect")
    if framework != "fastapi":
        page.wait_for_selector("h1:has-text('Connect Google Calendar')")
        shows(page, f"You are signed in to Daybook as {first.lower()}@example.com.")
        settle(page)
    else:
        page.wait_for_selector("#connect:visible")
        look("signed-in")
    with page.context.expect_page() as opening:
        hands.press("button:has-text('Connect Google Calendar'):visible")
    allow(opening.value)
    page.wait_for_selector(f'#events:has-text("{first}\'s stand-up")')
    assert len({"Ada", "Grace"} & set(page.inner_text("#events").replace("'", " ").split())) == 1
    assert page.inner_text("#who").startswith(first)
    shows(page, "/app-user-auth/connectors/", ".calls >> nth=-1")
    look("calendar")
    if rendered:
        without_scripts(page, url, first)
        hands.press("a:has-text('Manage')")
        settle(page)
    hands.press("button:has-text('Disconnect')")
    page.wait_for_selector("button:has-text('Connect Google Calendar'):visible")
    if rendered:
        page.goto(url + "calendar")
        assert "/base44/connect/calendar" in page.url
        page.goto(url)
    hands.press("button:has-text('Sign out')")
    page.wait_for_selector("#who", state="hidden")
    page.goto(url)  # nobody is signed in again by reloading
    page.wait_for_selector("a:has-text('Sign in')" if rendered else "form button:has-text('Sign in')")
    page.goto(f"{url}source#calendar")
    look("source")


def without_scripts(page: Any, url: str, first: str) -> None:
    """Once signed in, a rendered page says all that it has to say."""
    with opened(page.context.browser, java_script_enabled=False, storage_state=page.context.storage_state()) as plain:
        plain.goto(url)
        plain.click("a:has-text('Open my calendar')")
        shows(plain, first, "#events")
        shows(plain, first, "#who")
        plain.click("a:has-text('Source of this view')")
        shows(plain, "def calendar(", "#calendar")
        plain.goto(f"{url}sign-in")
        shows(plain, "needs scripts")
        assert not plain.is_visible("form[data-login]")
