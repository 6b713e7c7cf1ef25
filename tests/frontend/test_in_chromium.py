"""The template's own client, unmodified, in Chromium: no request of it fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from base44_web.testing import CALENDAR_ID, Emulator
from tests.serving import app_environment, needs, serving


class Traffic:
    """What pages asked, and what of it failed."""

    def __init__(self, context: Any) -> None:
        self.requests: list[str] = []
        self.failures: list[str] = []
        self.sockets: list[str] = []
        self.errors: list[str] = []
        context.on("request", lambda request: self.requests.append(self._line(request)))
        context.on("requestfailed", self._failed)
        context.on("response", self._answered)
        context.on("page", self._watch)

    @staticmethod
    def _line(request: Any) -> str:
        return f"{request.method} {urlsplit(request.url).path}"

    def _failed(self, request: Any) -> None:
        # A page that is left drops what it was still sending; that is nobody's failure.
        if request.failure != "net::ERR_ABORTED":
            self.failures.append(f"{self._line(request)}: {request.failure}")

    def _answered(self, response: Any) -> None:
        if response.status >= 400:
            self.failures.append(f"{self._line(response.request)}: {response.status}")

    def _watch(self, page: Any) -> None:
        page.on("websocket", lambda socket: self.sockets.append(urlsplit(socket.url).path))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)


@contextmanager
def visitor(chromium: Any) -> Iterator[tuple[Any, Traffic]]:
    context = chromium.new_context()
    context.set_default_timeout(15000)
    traffic = Traffic(context)
    yield context.new_page(), traffic
    context.close()


def who(frame: Any, expected: str) -> None:
    frame.wait_for_function("who => document.querySelector('#who')?.textContent === who", arg=expected)


def test_every_request_succeeds(chromium: Any, hosted: str, emulator: Emulator) -> None:
    with visitor(chromium) as (page, traffic):
        page.goto(hosted)
        who(page, "nobody")
        page.click("#sign-in")
        page.click("text=Continue as Ada Lovelace")
        who(page, "ada@example.com")
        assert page.url == hosted  # the client has taken the token out
        page.reload()
        who(page, "ada@example.com")
        page.wait_for_function("performance.getEntriesByName(location.origin + "
                               "'/api/apps/demo-app/analytics/track/batch').length > 0")  # fmt: skip
        # As scripts of another origin of this machine do, with credentials.
        read = """async (url) => (await fetch(url, { credentials: "include", headers: { "X-App-Id": "demo-app" } })).status"""
        assert page.evaluate(read, hosted.replace("127.0.0.1", "localhost")) == 200
        page.click("#sign-out")
        page.wait_for_url(hosted)
        who(page, "nobody")
        page.click("#leave")
        page.wait_for_url("**/goodbye")
        who(page, "nobody")
        assert traffic.failures == []
        assert traffic.errors == []
        asked = {f"{request.method} {request.target.partition('?')[0]}" for request in emulator.requests}
        assert asked >= {
            "GET /sites/calendar/lists/7/edit", "GET /login", "POST /login", "GET /api/apps/auth/logout",
            "GET /api/apps/demo-app/entities/User/me", "POST /api/apps/demo-app/analytics/track/batch",
            "POST /api/app-logs/demo-app/log-user-in-app/lists", "OPTIONS /sites/calendar/lists/7/edit",
            "GET /api/apps/public/prod/public-settings/by-id/demo-app",
        }  # fmt: skip
        print(f"{len(traffic.requests)} requests, {len(traffic.failures)} failed")


def test_signing_in_with_a_provider(chromium: Any, hosted: str) -> None:
    with visitor(chromium) as (page, traffic):
        page.goto(hosted)
        who(page, "nobody")
        page.click("#google")
        page.wait_for_selector("text=Sign in with Google")
        page.click("text=Continue as Grace Hopper")
        who(page, "grace@example.com")
        assert traffic.failures == []
        assert traffic.errors == []


def test_a_provider_in_a_popup(chromium: Any, hosted: str, platform: str, emulator: Emulator) -> None:
    """In a frame, such as the editor's preview, the client opens a window and waits for its message."""
    emulator.page = f'<!doctype html><title>Editor</title><iframe src="{hosted}"></iframe>'.encode()
    with visitor(chromium) as (page, traffic):
        page.goto(platform)
        frame = next(each for each in page.frames if each.parent_frame)
        who(frame, "nobody")
        with page.context.expect_page() as opening:
            frame.click("#google")
        with opening.value.expect_event("close"):
            opening.value.click("text=Continue as Ada Lovelace", no_wait_after=True)
        who(frame, "ada@example.com")
        assert frame.url == f"{hosted}?is_new_user=false"  # what the client adds
        assert traffic.failures == []
        assert traffic.errors == []


def test_signing_in_by_address(chromium: Any, hosted: str, emulator: Emulator) -> None:
    emulator.add_user("no.name@test.example", password="rather long")
    with visitor(chromium) as (page, traffic):
        page.goto(hosted)
        who(page, "nobody")
        page.click("#sign-in")
        page.fill("[name=email]", "no.name@test.example")
        page.fill("[name=password]", "wrong")
        page.click("text=Sign in >> nth=-1")
        page.wait_for_selector("[role=alert]")
        page.fill("[name=email]", "no.name@test.example")
        page.fill("[name=password]", "rather long")
        page.click("text=Sign in >> nth=-1")
        who(page, "no.name@test.example")
        assert traffic.failures == ["POST /login: 401"]


def test_what_an_app_calls(chromium: Any, hosted: str, emulator: Emulator, function: str) -> None:
    emulator.add_function("hello", function)
    with visitor(chromium) as (page, traffic):
        page.goto(hosted)
        page.click("#sign-in")
        page.click("text=Continue as Ada Lovelace")
        who(page, "ada@example.com")
        link = page.evaluate("id => base44.connectors.connectAppUser(id)", CALENDAR_ID)
        assert "/provider/consent?state=" in link
        said = page.evaluate("async () => (await base44.functions.invoke('hello', { name: 'Ada' })).data")
        assert said["path"] == "/functions/hello"
        assert said["headers"]["base44-service-authorization"] == f"Bearer {emulator.service_token}"
        assert traffic.failures == []
        failed = "() => base44.entities.Task.list().catch(({ status, code, message }) => ({ status, code, message }))"
        outcome = page.evaluate(failed)
        assert (outcome["status"], outcome["code"]) == (501, "NOT_EMULATED")
        assert "not emulated" in outcome["message"]
        assert traffic.failures == ["GET /api/apps/demo-app/entities/Task: 501"]


ASK = """async ([url, more]) => {
  const elsewhere = (path, init) => fetch(url + path, init);
  const answer = await base44.fetchWithAuth("/me", { fetch: elsewhere, headers: more });
  return [answer.status, (await answer.json()).email ?? null, answer.headers.get("WWW-Authenticate")];
}"""
# What the client sends where it knows of it.
MORE = {
    "Base44-Api-Url": "https://base44.app", "Base44-Functions-Version": "7", "Base44-State": "s", "X-Data-Env": "prod",
}  # fmt: skip


@pytest.mark.parametrize(
    ("server", "driver", "module"),
    [("uvicorn", "django-asgi-async", "corsheaders"), ("gunicorn", "flask-sync", "flask_cors"),
     ("uvicorn", "fastapi-async", "fastapi")],
)  # fmt: skip
def test_fetch_with_auth_from_another_origin(
    server: str, driver: str, module: str, chromium: Any, hosted: str, platform: str, emulator: Emulator, tmp_path: Path
) -> None:
    """With CORS as docs/front-end.md has it: no preflight fails, and a script reads why it was refused."""
    needs(server, driver)
    pytest.importorskip(module)
    environment = app_environment(emulator, platform, driver) | {"TEST_CORS_ORIGIN": platform}
    with serving(server, environment, tmp_path / "output") as (url, _), visitor(chromium) as (page, traffic):
        prefix = "/async" if driver.startswith("django") else ""
        page.goto(hosted)
        page.click("#sign-in")
        page.click("text=Continue as Ada Lovelace")
        who(page, "ada@example.com")
        assert page.evaluate(ASK, [url + prefix, MORE]) == [200, "ada@example.com", None]
        asked = page.evaluate(ASK, [url + prefix, {**MORE, "Authorization": "Bearer a.b.c"}])
        assert asked == [401, None, 'Bearer error="invalid_token"']
        assert traffic.failures == [f"GET {prefix}/me: 401"]


def test_a_subscription_is_refused_once(chromium: Any, hosted: str) -> None:
    with visitor(chromium) as (page, traffic):
        page.goto(hosted)
        who(page, "nobody")
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.evaluate("() => { base44.entities.Task.subscribe(() => {}); }")
        page.wait_for_timeout(4000)  # socket.io would have tried again after one second, and after two more
        assert traffic.sockets == ["/ws-user-apps/socket.io/"]
        assert any("not emulated" in each for each in said), said
        assert traffic.failures == []
