"""Coverage-guided fuzzing with atheris, for a long run outside CI: what comes in, `next`, and what the platform answers.

    pip install atheris && python scripts/fuzz.py -max_total_time=3600

Options are libFuzzer's. It stops at the first input that raises anything but our own errors, or that gets somewhere it must not.
"""

from __future__ import annotations

import sys
from urllib.parse import urlsplit

import atheris

with atheris.instrument_imports(include=["base44_web"]):
    from base44_web import Base44Error, Settings
    from base44_web._core.claims import Token
    from base44_web._core.clock import Clock
    from base44_web._core.identity.keys import Keys
    from base44_web._core.incoming.caller import Caller
    from base44_web._core.incoming.read import read_caller
    from base44_web._core.incoming.request import Incoming
    from base44_web._core.incoming.session import Seal
    from base44_web._core.platform import wire
    from base44_web._core.replies.visit import Visit
    from base44_web._core.secret import Secret
    from base44_web._core.transport.message import PlatformResponse
    from base44_web._core.urls import is_safe_url
    from base44_web._core.views.routes import VIEWS, Mounted, ViewRequest, safe_next
    from base44_web.errors import parse_retry_after

SECRET = "a session secret of more than 32 characters"
OURS = Settings(
    app_id="app", token_sources=["header", "session", "cookie", "subprotocol"], secret=SECRET,
    app_user_connectors={"calendar": "1"},
)  # fmt: skip
TRUSTING = Settings(app_id="app", platform_headers="trust", allowed_api_urls=["https://base44.app"])
SEAL = Seal((Secret(SECRET),))
CALLER = Caller(
    "app", "https://base44.app", "https://base44.app", token=Token(Secret("a.b.c")), service_token=Secret("s")
)
NAMES = [
    "authorization", "cookie", "origin", "host", "sec-fetch-site", "sec-fetch-mode", "sec-websocket-protocol", "base44-app-id",
    "base44-api-url", "base44-service-authorization", "base44-state", "x-data-env",
]  # fmt: skip
CALLS = [
    wire.get_connection(CALLER, "slack"), wire.get_current_app_user_connection(CALLER, "1"), wire.connect_app_user(CALLER, "1"),
    wire.disconnect_app_user(CALLER, "1"), wire.current_user(CALLER), wire.get_keys("https://keys.example/"),
    wire.call_api(CALLER, "x", path="/", method="GET", host=None, query=None, headers=None, body=None),
]  # fmt: skip
KEYS = Keys(Settings(app_id="app", verification="keys", verification_key=SECRET, algorithms=["HS256"]), Clock())


def came_in(data: atheris.FuzzedDataProvider) -> None:
    headers = [
        (data.PickValueInList(NAMES), data.ConsumeBytes(data.ConsumeIntInRange(0, 200)).decode("latin-1"))
        for _ in range(data.ConsumeIntInRange(0, 5))
    ]
    for settings in (OURS, TRUSTING):
        incoming = Incoming(data.PickValueInList(["GET", "POST"]), headers, websocket=data.ConsumeBool())
        try:
            caller = read_caller(incoming, settings, SEAL)
        except Base44Error as error:
            assert error.about_visitor
            continue
        assert caller.server_url == "https://base44.app"
        assert caller.app_id == "app"
        if caller.token is not None:
            assert not set(caller.token.secret.reveal()) & set(' \t",;\0\x85\xa0\r\n')


def next_path(data: atheris.FuzzedDataProvider) -> None:
    found = safe_next([data.ConsumeUnicode(200)], "/home/")
    parts = urlsplit(found)
    assert (parts.scheme, parts.netloc) == ("", "")
    assert found.startswith("/")
    assert found[1:2] not in ("/", "\\")
    assert found.isascii()
    assert found.isprintable()


def browser_url(data: atheris.FuzzedDataProvider) -> None:
    url = data.ConsumeUnicode(200)
    if is_safe_url(url):
        host = urlsplit(url).hostname or ""
        assert url.startswith("https:") or host in ("localhost", "::1") or host.startswith("127."), url
        assert "@" not in urlsplit(url).netloc


def answer(data: atheris.FuzzedDataProvider) -> None:
    call = data.PickValueInList(CALLS)
    headers = {"retry-after": data.ConsumeUnicodeNoSurrogates(20)}
    outcome = call.read(PlatformResponse(data.ConsumeIntInRange(100, 599), headers, data.ConsumeBytes(300)))
    if isinstance(outcome, Base44Error):
        assert str(outcome).isprintable()
        assert len(str(outcome)) <= 500


def token(data: atheris.FuzzedDataProvider) -> None:
    given = Secret(data.ConsumeBytes(300).decode("latin-1"))
    found = Token(given)
    assert (found.claims is None) == (found.header is None)
    found.dead_reason(0.0)
    assert isinstance(KEYS.verify(found, "app"), Base44Error)
    assert SEAL.open(given) is None


def body(data: atheris.FuzzedDataProvider) -> None:
    view = data.PickValueInList(list(VIEWS))
    visit = Visit(Incoming("POST", []), f"/{view.path}", Mounted("/"), OURS)
    query = data.ConsumeUnicodeNoSurrogates(60)
    asked = ViewRequest.of(view, visit, "calendar", query, data.ConsumeBytes(300))
    assert asked.next().startswith("/")
    assert all(isinstance(value, list) for value in asked.form.values())


def retry_after(data: atheris.FuzzedDataProvider) -> None:
    seconds = parse_retry_after(data.ConsumeUnicodeNoSurrogates(60))
    assert seconds is None or 0 <= seconds <= 86_400


TARGETS = [came_in, next_path, browser_url, answer, token, body, retry_after]


def one(octets: bytes) -> None:
    data = atheris.FuzzedDataProvider(octets)
    data.PickValueInList(TARGETS)(data)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
