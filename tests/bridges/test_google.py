"""`google_credentials`, in Google's own transports and the libraries on them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from base44_web import Base44, Connection, RateLimitError, Secret, ServerError
from base44_web.bridges import google_credentials
from base44_web.testing import CALENDAR_ID, Emulator, Fault
from tests.canaries import CANARY, clean, frames_are_clean

exceptions = pytest.importorskip("google.auth.exceptions")
CALENDAR = "https://www.googleapis.com/calendar/v3/calendars/primary/events"


def authorized_session(credentials: Any) -> Callable[[], str]:
    requests = pytest.importorskip("google.auth.transport.requests")
    session = requests.AuthorizedSession(credentials)

    def call() -> str:
        answer = session.get(CALENDAR, timeout=60)
        answer.raise_for_status()
        return str(answer.json()["items"][0]["summary"])

    return call


def urllib3(credentials: Any) -> Callable[[], str]:
    transport = pytest.importorskip("google.auth.transport.urllib3")
    import os

    from urllib3 import PoolManager

    http = transport.AuthorizedHttp(credentials, PoolManager(ca_certs=os.environ["REQUESTS_CA_BUNDLE"]))
    return lambda: str(http.request("GET", CALENDAR).json()["items"][0]["summary"])


def api_client(credentials: Any) -> Callable[[], str]:
    discovery = pytest.importorskip("googleapiclient.discovery")
    service = discovery.build("calendar", "v3", credentials=credentials)
    return lambda: str(service.events().list(calendarId="primary").execute()["items"][0]["summary"])


def gspread(credentials: Any) -> Callable[[], str]:
    gspread = pytest.importorskip("gspread")
    client = gspread.authorize(credentials)
    return lambda: str(client.open_by_key("budget").title)


LIBRARIES: dict[str, tuple[Any, str]] = {
    "AuthorizedSession": (authorized_session, "Stand-up"), "urllib3": (urllib3, "Stand-up"),
    "googleapiclient": (api_client, "Stand-up"), "gspread": (gspread, "Budget"),
}  # fmt: skip


@pytest.mark.parametrize("library", LIBRARIES)
def test_libraries(library: str, internet: Any, emulator: Emulator, connection: Connection, asked: Any) -> None:
    make, found = LIBRARIES[library]
    call = make(google_credentials(connection))
    assert call() == found
    newer = emulator.expire(None, "anything")
    assert call() == found
    assert call() == found
    assert [each.token for each in internet.sent] == [connection.access_token] * 2 + [newer] * 2
    assert asked() == 1
    internet.refuses = True
    for _ in range(3):
        with pytest.raises(exceptions.RefreshError, match="the app user must connect again") as caught:
            call()
        assert isinstance(caught.value.__cause__, RateLimitError)
    assert asked() == 2  # whether there is one that is newer still; after that it pauses
    assert len(internet.sent) <= 4 + 4


def test_over_loopback(emulator: Emulator, platform: str, base44: Base44) -> None:
    requests = pytest.importorskip("google.auth.transport.requests")
    ada = emulator.add_user("ada@test.example", events=["lunch"])
    emulator.connect(ada, CALENDAR_ID)
    with Base44(settings=base44._context.engine.settings, token=emulator.sign_in(ada)) as hers:
        connection = hers.as_service_role.connectors.get_current_app_user_connection("calendar")
        emulator.expire(ada, CALENDAR_ID)
        with requests.AuthorizedSession(google_credentials(connection)) as session:
            answer = session.get(f"{platform}/provider/calendar/v3/calendars/primary/events")
    assert answer.json()["items"][0]["summary"] == "lunch"


def test_a_connection_that_cannot_be_renewed(
    internet: Any, emulator: Emulator, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    call = authorized_session(google_credentials(connection))
    emulator.expire(None, "anything")
    emulator.fault(Fault(status=503, body=b'{"detail": "down for a while"}'), path="*/anything", times=None)
    with pytest.raises(exceptions.RefreshError, match="down for a while") as caught:
        call()
    assert isinstance(caught.value.__cause__, ServerError)
    assert "(anything), and it cannot be renewed" in caplog.text
    assert len(internet.sent) == 1


def test_one_made_by_hand_says_so(internet: Any) -> None:
    call = authorized_session(google_credentials(Connection(Secret("dead"), None, None)))
    with pytest.raises(exceptions.RefreshError, match="made by hand"):
        call()
    assert [each.token for each in internet.sent] == ["dead"]


def test_where_it_may_not_go(internet: Any, connection: Connection) -> None:
    requests = pytest.importorskip("google.auth.transport.requests")
    session = requests.AuthorizedSession(google_credentials(connection, ["*.googleapis.com"]))
    with pytest.raises(ValueError, match="over https alone"):
        session.get(CALENDAR.replace("https", "http"))
    with pytest.raises(ValueError, match="goes to"):
        session.get("https://api.github.com/user")
    assert internet.sent == []
    internet.redirects["/there"] = "https://elsewhere.example/"
    with pytest.raises(exceptions.RefreshError):  # its transport takes any 401 for one about the token
        session.get("https://www.googleapis.com/there")
    assert {each.token for each in internet.sent if "elsewhere" in each.url} == {""}


def test_many_threads_renew_once(internet: Any, emulator: Emulator, connection: Connection, asked: Any) -> None:
    """Who was refused the token before is not the one to have the newer renewed."""
    requests = pytest.importorskip("google.auth.transport.requests")
    credentials, together = google_credentials(connection), threading.Barrier(8)
    emulator.expire(None, "anything")

    def get(_: int) -> int:
        with requests.AuthorizedSession(credentials) as session:
            together.wait(60)
            return int(session.get(CALENDAR, timeout=60).status_code)

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(get, range(8))) == {200}
    assert asked() == 1


def test_what_others_do_with_credentials(internet: Any, emulator: Emulator, connection: Connection, asked: Any) -> None:
    credentials: Any = google_credentials(connection)
    assert (credentials.valid, credentials.expired, credentials.expiry) == (True, False, None)
    assert credentials.token == connection.access_token
    newer = emulator.expire(None, "anything")
    credentials.refresh(None)  # by hand, before anything was sent
    assert credentials.token == newer
    assert asked() == 1
    headers: dict[str, str] = {}
    credentials.apply(headers)
    assert headers == {"authorization": f"Bearer {newer}"}
    credentials.apply(headers, token="other")
    assert headers == {"authorization": "Bearer other"}
    with pytest.raises(AttributeError):
        credentials.token = "other"


def test_nothing_shows_a_token(internet: Any, emulator: Emulator, base44: Base44, caplog: Any) -> None:
    emulator.share("anything")
    emulator._state.one("UPDATE connections SET token = ? WHERE connector = 'anything'", CANARY)
    credentials: Any = google_credentials(base44.as_service_role.connectors.get_connection("anything"))
    clean([credentials, vars(credentials)])
    with pytest.raises(TypeError):
        credentials.__reduce_ex__(2)
    internet.refuses = True
    call = authorized_session(credentials)
    for _ in range(2):
        with pytest.raises(exceptions.RefreshError) as caught:
            call()
        frames_are_clean(caught.value)
    clean(caplog.text)
