"""`requests_auth`, in requests itself and in libraries that take its sessions."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from base44_web import Base44, Connection, NotConnectedError, Secret
from base44_web.bridges import requests_auth
from base44_web.testing import CALENDAR_ID, Emulator, Fault
from tests.canaries import CANARY, clean, frames_are_clean

requests = pytest.importorskip("requests")
CALENDAR = "https://www.googleapis.com/calendar/v3/calendars/primary/events"
UPLOAD = "https://www.googleapis.com/upload"


@pytest.fixture
def session(connection: Connection) -> Iterator[Any]:
    with requests.Session() as session:
        session.auth = requests_auth(connection)
        yield session


def test_it_sends_the_token(session: Any, internet: Any, connection: Connection, asked: Callable[[], int]) -> None:
    assert session.get(CALENDAR).json()["items"][0]["summary"] == "Stand-up"
    assert [each.token for each in internet.sent] == [connection.access_token]
    assert asked() == 0


def test_over_loopback(emulator: Emulator, platform: str, base44: Base44) -> None:
    """An app user's, from the emulator's provider."""
    ada = emulator.add_user("ada@test.example", events=["lunch"])
    dead = emulator.connect(ada, CALENDAR_ID)
    with Base44(settings=base44._context.engine.settings, token=emulator.sign_in(ada)) as hers:
        auth = requests_auth(hers.as_service_role.connectors.get_current_app_user_connection("calendar"))
        newer = emulator.expire(ada, CALENDAR_ID)
        answer = requests.get(f"{platform}/provider/calendar/v3/calendars/primary/events", auth=auth)
    assert answer.json()["items"][0]["summary"] == "lunch"
    sent = [each.header("authorization") for each in emulator.requests if each.target.startswith("/provider/")]
    assert sent == [f"Bearer {dead}", f"Bearer {newer}"]


def test_a_token_that_dies(session: Any, internet: Any, emulator: Emulator, asked: Callable[[], int]) -> None:
    newer = emulator.expire(None, "anything")
    internet.headers = {"Set-Cookie": "seen=yes; Path=/"}
    answer = session.get(CALENDAR, timeout=60)
    assert answer.status_code == 200
    assert [each.status_code for each in answer.history] == [401]
    assert answer.request.headers["Authorization"] == f"Bearer {newer}"
    assert [each.cookie for each in internet.sent] == ["", "seen=yes"]
    assert session.cookies["seen"] == "yes"
    assert session.get(CALENDAR).history == []
    assert asked() == 1


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (None, b""), (b"octets", b"octets"), ("text", b"text"), ({"a": "b"}, b"a=b"), (io.BytesIO(b"file"), b"file"),
    ],
    ids=["none", "bytes", "str", "form", "file"],
)  # fmt: skip
def test_a_body_that_can_be_sent_again(session: Any, internet: Any, emulator: Emulator, body: Any, sent: bytes) -> None:
    emulator.expire(None, "anything")
    assert session.post(UPLOAD, data=body).status_code == 200
    assert [each.body for each in internet.sent] == [sent, sent]


def test_a_file_is_put_back_to_where_it_was(session: Any, internet: Any, emulator: Emulator) -> None:
    emulator.expire(None, "anything")
    file = io.BytesIO(b"head and body")
    file.seek(9)
    assert session.post(UPLOAD, data=file).status_code == 200
    assert [each.body for each in internet.sent] == [b"body", b"body"]


class Once(io.RawIOBase):
    """A file that says where it is, and cannot go back: a pipe's end."""

    def __init__(self) -> None:
        self._left = [b"a", b""]

    def __iter__(self) -> Any:
        return iter([b"a"])

    def read(self, size: int = -1) -> bytes:
        return self._left.pop(0)

    def tell(self) -> int:
        return 0


@pytest.mark.parametrize("make", [lambda: iter([b"a", b"b"]), Once], ids=["generator", "pipe"])
def test_a_body_that_is_gone(
    session: Any, internet: Any, emulator: Emulator, asked: Callable[[], int], make: Callable[[], Any]
) -> None:
    """The answer is the 401; the next request has the newer token."""
    emulator.expire(None, "anything")
    assert session.post(UPLOAD, data=make()).status_code == 401
    assert len(internet.sent) == 1
    assert session.get(CALENDAR).status_code == 200
    assert len(internet.sent) == 2
    assert asked() == 1


def test_a_provider_that_always_refuses(
    session: Any, internet: Any, asked: Callable[[], int], caplog: pytest.LogCaptureFixture
) -> None:
    """The platform has no newer token: nothing is sent again, and it is asked once."""
    internet.refuses = True
    for _ in range(5):
        assert session.get(CALENDAR).status_code == 401
    assert len(internet.sent) == 5
    assert asked() == 1
    assert "has no newer one" in caplog.text


def test_a_provider_that_refuses_the_newer_token_too(
    session: Any, internet: Any, emulator: Emulator, asked: Callable[[], int]
) -> None:
    internet.refuses = True
    emulator.expire(None, "anything")
    answer = session.get(CALENDAR)
    assert answer.status_code == 401
    assert [each.status_code for each in answer.history] == [401]
    for _ in range(5):
        assert session.get(CALENDAR).status_code == 401
    assert asked() == 2  # whether there is one that is newer still; after that it pauses


def test_a_connection_that_cannot_be_renewed(
    session: Any, internet: Any, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    emulator.expire(None, "anything")
    emulator.fault(Fault(status=404), path="*/anything", times=None)
    answer = session.get(CALENDAR, stream=True)
    assert answer.status_code == 401
    assert answer.json()["error"]["message"] == "Invalid Credentials"
    assert "(anything), and it cannot be renewed" in caplog.text
    assert len(internet.sent) == 1


def test_one_made_by_hand_is_sent_as_it_is(internet: Any) -> None:
    auth = requests_auth(Connection(Secret("dead"), None, None))
    assert requests.get(CALENDAR, auth=auth).status_code == 401
    assert [each.token for each in internet.sent] == ["dead"]


def test_403_is_not_about_the_token(session: Any, internet: Any, monkeypatch: Any, asked: Callable[[], int]) -> None:
    monkeypatch.setattr(internet, "answer", lambda *args: (403, {}, {}))
    assert session.get(CALENDAR).status_code == 403
    assert asked() == 0


def test_where_it_may_not_go(connection: Connection, internet: Any) -> None:
    auth = requests_auth(connection, ["*.googleapis.com"])
    with pytest.raises(ValueError, match="over https alone"):
        requests.get(CALENDAR.replace("https", "http"), auth=auth)
    for url in (
        "https://api.github.com/user",
        "https://googleapis.com/",
        "https://www.googleapis.com.elsewhere.example",
    ):
        with pytest.raises(ValueError, match="goes to"):
            requests.get(url, auth=auth)
    assert internet.sent == []
    assert requests.get(CALENDAR, auth=auth).status_code == 200
    with pytest.raises(TypeError, match="not one string"):
        requests_auth(connection, "api.github.com")


def test_a_redirect_to_another_host_takes_no_token_along(
    session: Any, internet: Any, connection: Connection, asked: Callable[[], int]
) -> None:
    """A 401 of that host is not about a token that it was not sent."""
    internet.redirects["/there"] = "https://elsewhere.example/"
    answer = session.get("https://www.googleapis.com/there")
    assert answer.status_code == 401
    assert [(each.url, each.token) for each in internet.sent] == [
        ("https://www.googleapis.com/there", connection.access_token), ("https://elsewhere.example/", ""),
    ]  # fmt: skip
    assert asked() == 0


def test_a_redirect_within_the_host(session: Any, internet: Any, emulator: Emulator, asked: Callable[[], int]) -> None:
    """It is followed with the token that it began with: the newer one takes its place without asking."""
    internet.redirects["/there"] = "/calendar/v3/calendars/primary/events"
    newer = emulator.expire(None, "anything")
    assert session.get("https://www.googleapis.com/there").status_code == 200
    assert internet.sent[-1].token == newer
    assert asked() == 1


def test_many_threads_renew_once(connection: Connection, internet: Any, emulator: Emulator, asked: Any) -> None:
    newer = emulator.expire(None, "anything")
    auth, together = requests_auth(connection), threading.Barrier(8)

    def get(_: int) -> int:
        together.wait(60)
        return int(requests.get(CALENDAR, auth=auth, timeout=60).status_code)

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(get, range(8))) == {200}
    assert asked() == 1
    assert internet.sent[-1].token == newer


def test_connections_are_reused(session: Any, internet: Any, emulator: Emulator) -> None:
    """As a pool of one place, which waits for it."""
    session.mount("https://", requests.adapters.HTTPAdapter(pool_maxsize=1, pool_block=True))
    emulator.expire(None, "anything")
    assert session.get(CALENDAR, timeout=60, stream=True).json()["items"]
    assert session.get(CALENDAR, timeout=60).json()["items"]


def test_nothing_shows_a_token(internet: Any, emulator: Emulator, base44: Base44, caplog: Any) -> None:
    emulator.share("anything")
    emulator._state.one("UPDATE connections SET token = ? WHERE connector = 'anything'", CANARY)
    auth: Any = requests_auth(base44.as_service_role.connectors.get_connection("anything"))
    prepared = auth(requests.Request("GET", CALENDAR).prepare())
    clean([auth, vars(auth), prepared.hooks])
    internet.refuses = True
    caplog.set_level("DEBUG")
    assert requests.get(CALENDAR, auth=auth).status_code == 401
    assert requests.get(CALENDAR, auth=auth).status_code == 401
    clean(caplog.text)
    with pytest.raises(ValueError, match="over https alone") as caught:
        requests.get("http://api.github.com/user", auth=auth)
    frames_are_clean(caught.value)


def test_a_client_that_was_closed(emulator: Emulator, settings: Any, internet: Any, caplog: Any) -> None:
    emulator.share("anything")
    with Base44(settings=settings) as base44:
        auth = requests_auth(base44.as_service_role.connectors.get_connection("anything"))
    emulator.expire(None, "anything")
    assert requests.get(CALENDAR, auth=auth).status_code == 401
    assert "the client that it came from was closed" in caplog.text


# --- libraries


def salesforce(session: Any) -> Any:
    simple_salesforce = pytest.importorskip("simple_salesforce")
    client = simple_salesforce.Salesforce(
        instance_url="https://example.my.salesforce.com", session_id="in the session", session=session
    )
    return lambda: client.query("SELECT Name FROM Contact")["records"][0]["Name"]


def dropbox(session: Any) -> Any:
    dropbox = pytest.importorskip("dropbox")
    client = dropbox.Dropbox(oauth2_access_token="in the session", session=session)
    return lambda: client.users_get_space_usage().used


def gitlab(session: Any) -> Any:
    gitlab = pytest.importorskip("gitlab")
    client = gitlab.Gitlab("https://gitlab.com", session=session)

    def call() -> Any:
        client.auth()
        return client.user.username

    return call


def airtable(session: Any) -> Any:
    pyairtable = pytest.importorskip("pyairtable")
    api = pyairtable.Api("in the session")
    api.session.auth = session.auth
    return lambda: api.whoami()["id"]


LIBRARIES: dict[str, tuple[Any, Any]] = {
    "simple_salesforce": (salesforce, "Ada"), "dropbox": (dropbox, 7), "gitlab": (gitlab, "ada"),
    "pyairtable": (airtable, "usrAda"),
}  # fmt: skip


@pytest.fixture
def library(request: Any, session: Any) -> tuple[Callable[[], Any], Any]:
    make, found = LIBRARIES[request.param]
    return make(session), found


@pytest.mark.parametrize("library", LIBRARIES, indirect=True)
def test_libraries(library: Any, internet: Any, emulator: Emulator, connection: Connection, asked: Any) -> None:
    call, found = library
    assert call() == found
    assert internet.sent[0].token == connection.access_token
    newer = emulator.expire(None, "anything")
    assert call() == found
    assert call() == found
    assert [each.token for each in internet.sent] == [connection.access_token] * 2 + [newer] * 2
    assert asked() == 1
    internet.refuses = True
    for _ in range(3):
        with pytest.raises(Exception, match=r"(?i)expired|unauthorized|credentials|401"):
            call()
    assert asked() == 2


def test_a_missing_library_is_named(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from base44_web import ConfigurationError, bridges

    for module, library, package, function in (
        ("_requests", "requests", "requests", "requests_auth"),
        ("_google", "google", "google-auth", "google_credentials"),
        ("_azure", "azure", "azure-core", "azure_credential"),
    ):
        for name in [each for each in sys.modules if each.partition(".")[0] == library]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.delitem(sys.modules, f"base44_web.bridges.{module}", raising=False)
        monkeypatch.setattr(sys, "meta_path", [Without(library), *sys.meta_path])
        with pytest.raises(ConfigurationError, match=f"pip install {package}$"):
            getattr(bridges, function)(connection)


class Without:
    """An environment without a package."""

    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(self, name: str, *args: Any) -> None:
        if name == self._name:
            raise ModuleNotFoundError(name, name=name)


def test_the_error_is_kept_apart(session: Any, internet: Any, emulator: Emulator, base44: Base44) -> None:
    """Who renews by hand sees why."""
    connection = base44.as_service_role.connectors.get_connection("anything")
    emulator._state.disconnect("shared", "anything")
    assert session.get(CALENDAR).status_code == 401
    with pytest.raises(NotConnectedError):
        base44.renew(connection)
