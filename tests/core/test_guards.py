"""The check behind every guard, and what its answers depend on."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from functools import partial

import jwt
import pytest

from base44_web import (
    AppUser,
    AuthenticationError,
    Base44,
    Base44Error,
    ConnectorID,
    ServerError,
    Settings,
)
from base44_web._core.engine.context import Context
from base44_web._core.engine.engine import Engine
from base44_web._core.guards.admit import admit
from base44_web._core.incoming.request import Incoming
from base44_web._core.platform.io import AWAITING, BLOCKING, run
from base44_web._core.replies import refuse
from base44_web._core.replies.visit import Visit, path_and_query
from base44_web._core.seldom import Seldom
from base44_web._core.views.routes import safe_next
from base44_web.testing import CALENDAR_ID, Emulator
from tests.checks import (
    NAVIGATION,
    bearer,
)
from tests.conftest import Clock
from tests.drivers import changed
from tests.transports import Meeting


@pytest.mark.parametrize("kind", ["blocking", "awaiting"])
def test_several_connectors_are_asked_for_at_the_same_time(emulator: Emulator, kind: str) -> None:
    """And the user with them: the platform answers none of the seven before it has all."""
    user = emulator.add_user("ada@test.example")
    names = {f"c{n}": f"id{n}" for n in range(5)}
    for identifier in (*names.values(), "other"):
        emulator.connect(user, identifier)
    settings = Settings(app_id=emulator.app_id, service_token=emulator.service_token, app_user_connectors=names)
    incoming = Incoming("GET", bearer(emulator.sign_in(user)))
    context = Context(Engine(settings, Meeting(emulator, 7)), incoming)
    connectors = (*names, ConnectorID("other"))
    if kind == "blocking":
        found = run(admit(BLOCKING, context, connectors))
    else:
        found = asyncio.run(admit(AWAITING, context, connectors))
    assert found.id == user.id
    assert all(context.at_hand(identifier) for identifier in (*names.values(), "other"))


def test_a_line_of_the_log_says_how_often(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(refuse, "_FAILING", Seldom(1, lambda: now[0]))
    visit = Visit(Incoming("GET", []), "/", None, Settings(app_id="a"))  # type: ignore[arg-type]
    for moment in (0.0, 0.5, 0.6, 2.0, 4.0):
        now[0] = moment
        refuse.reply_to(ServerError("down"), visit, guarded=True)
    assert [(record.getMessage(), vars(record)["base44_times"]) for record in caplog.records] == [
        ("A guard could not ask the platform: down", 1),
        ("A guard could not ask the platform (3 times since the last such line): down", 3),
        ("A guard could not ask the platform: down", 1),
    ]


def test_connection_without_a_guard() -> None:
    with Base44(app_id="a") as base44:
        for client in (base44, base44.aio):
            with pytest.raises(LookupError, match="app_user_connected"):
                client.connection("calendar")


COME_BACK = [
    ("/a b", "x=1", "/a%20b?x=1"), ("/a?b#c%z", "", "/a%3Fb%23c%25z"), ("//evil.example/x", "", "/evil.example/x"),
    ("///e", "a", "/e?a"), ("/\\e", "", "/%5Ce"), ("/\r\nSet-Cookie: a", "", "/%0D%0ASet-Cookie:%20a"), ("/é", "", "/%C3%A9"),
]  # fmt: skip


def test_where_a_visitor_comes_back_to(subtests: pytest.Subtests) -> None:
    for path, query, here in COME_BACK:
        with subtests.test(path=path, query=query):
            assert path_and_query(path, query) == here


def test_errors_of_a_client_made_by_hand_are_not_the_visitors(settings: Settings, emulator: Emulator) -> None:
    user = emulator.add_user("bot@test.example")
    for token, call in (
        ("a.b.c", "connect_app_user"), (emulator.sign_in(user, lifetime=-5), "get_current_app_user_connection"),
        (emulator.sign_in(user), "get_current_app_user_connection"), ("opaque", "user"),
    ):  # fmt: skip
        with Base44(settings=settings, token=token) as base44:
            module = base44.connectors if call == "connect_app_user" else base44.as_service_role.connectors
            made = base44.user if call == "user" else partial(getattr(module, call), "calendar")
            with pytest.raises(Base44Error) as caught:
                made()
        assert not caught.value.about_visitor, call


def test_what_counts_as_going_to_a_page(settings: Settings, subtests: pytest.Subtests) -> None:
    """A form is posted by a person where the browser says so; an old one does not tell it from a script."""
    for method, navigation in (("GET", True), ("HEAD", True), ("POST", None), ("PUT", False)):
        for headers in (NAVIGATION, [("accept", "text/html")]):
            with subtests.test(method, headers=headers):
                visit = Visit(Incoming(method, headers), "/", None, settings)  # type: ignore[arg-type]
                wanted = headers is NAVIGATION if navigation is None else navigation
                assert visit.navigation is wanted


def test_a_connection_at_hand_ends(settings: Settings, emulator: Emulator, ada: AppUser, clock: Clock) -> None:
    emulator.connect(ada, CALENDAR_ID)
    with Base44(settings=settings, token=emulator.sign_in(ada)) as base44:
        run(admit(BLOCKING, base44._context, ("calendar",)))
        assert base44.connection("calendar").access_token
        clock.forward(61)
        with pytest.raises(LookupError, match="get_current_app_user_connection"):
            base44.connection("calendar")


def test_next_is_never_none() -> None:
    assert safe_next([], "/app/") == "/app/"
    assert safe_next(["/a", "/a"], "/app/") == "/app/"


def test_nobody_is_asked_about_a_forged_token(settings: Settings, emulator: Emulator) -> None:
    """With keys it is judged here; asking for its connection at the same time would let anybody spend the app's calls."""
    user = emulator.add_user("ada@test.example")
    emulator.connect(user, CALENDAR_ID)
    secret = "a secret that both have, of more than 32 characters"
    keys = changed(settings, verification="keys", verification_key=secret, algorithms=["HS256"])
    engine = Engine(keys, emulator.transport)
    for key, passes in (("x" * 40, False), (secret, True)):
        token = jwt.encode({"sub": user.id, "exp": int(time.time()) + 300}, key, algorithm="HS256")
        context = Context(engine, Incoming("GET", bearer(token)))
        asked = len(emulator.requests)
        if passes:
            with suppress(Base44Error):  # the platform knows no such token; it was asked
                run(admit(BLOCKING, context, (CALENDAR_ID,)))
            assert len(emulator.requests) > asked
        else:
            with pytest.raises(AuthenticationError):
                run(admit(BLOCKING, context, (CALENDAR_ID,)))
            assert len(emulator.requests) == asked
