"""The examples, as they are: over HTTP under the servers that people use, and as the demo in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from base44_web import AppUser
from base44_web.testing import Emulator, Fault
from tests.browser.test_browser import allow, opened, popup_of, settle
from tests.checks import NAVIGATION as NAVIGATION_PAIRS
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

        emulator.fault(Fault(status=500), path="*/token", times=None)
        assert site.get("/calendar", headers=headers).status_code == 503
        emulator.clear_faults()
        assert site.delete("/base44/disconnect/calendar", headers=headers).json() == {"connected": False}
        assert site.get("/calendar", headers=headers).status_code == 403
        assert site.get("/base44/connect/nobody", headers=headers).status_code == 404
        assert site.post("/base44/session", headers={"Sec-Fetch-Site": "cross-site"}).status_code in (403, 404)


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
    """As a new user would: one command; sign in, connect on the consent page, see one's own events; both users."""
    for module in (framework, "uvicorn"):
        pytest.importorskip(module)
    port, platform_port = free_port(), free_port()
    command = ["-m", "base44_web.cli", "demo", "--framework", framework, "--port", str(port)]
    command += ["--platform-port", str(platform_port)]
    with running(command, ROOT, {}, port, tmp_path / "output"):
        for first in ("Ada", "Grace"):
            with opened(chromium) as page:
                walk_through(page, framework, f"http://127.0.0.1:{port}/", first)


def walk_through(page: Any, framework: str, url: str, first: str) -> None:
    rendered = framework in ("flask", "django")
    page.goto(url)
    if rendered:
        page.wait_for_selector("#slack:has-text('Example')")
        page.click("a:has-text('My calendar')")
        page.click("a:has-text('Sign in')")
    page.fill("[name=email]", f"{first.lower()}@example.com")
    page.fill("[name=password]", "correct horse")
    page.click("button:has-text('Sign in')")
    page.wait_for_selector("#slack:has-text('Example')")
    if rendered:
        page.click("a:has-text('My calendar')")
    elif framework == "starlette":
        page.click("#connect")
    if framework != "fastapi":
        page.wait_for_selector("h1:has-text('Connect Google Calendar')")
        settle(page)
    allow(popup_of(page))
    page.wait_for_selector(f'#events:has-text("{first}\'s stand-up")')
    assert first in page.inner_text("#events")
    assert len({"Ada", "Grace"} & set(page.inner_text("#events").replace("'", " ").split())) == 1
    if rendered:
        page.click("a:has-text('Manage')")
        settle(page)
    page.click("button:has-text('Disconnect')")
    page.wait_for_selector("button:has-text('Connect'):visible")
    if rendered:
        page.goto(url + "calendar")
        assert "/base44/connect/calendar" in page.url
