"""`connection.auth()` in the providers' clients that take a client of httpx, and beside `Internet`'s redirects."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from base44_web import AsyncBase44, Base44, Connection, Settings
from base44_web.testing import Emulator

CALENDAR = "https://www.googleapis.com/calendar/v3/calendars/primary/events"


def notion(connection: Connection) -> Callable[[], str]:
    notion_client = pytest.importorskip("notion_client")
    import httpx

    client = notion_client.Client(client=httpx.Client(auth=connection.auth(["api.notion.com"])))
    return lambda: str(client.users.me()["name"])


def github(connection: Connection) -> Callable[[], str]:
    githubkit = pytest.importorskip("githubkit")
    from githubkit.auth.base import BaseAuthStrategy

    class Strategy(BaseAuthStrategy):
        auth = connection.auth(["api.github.com"])  # one, for githubkit asks for each request

        def get_auth_flow(self, github: Any) -> Any:
            return self.auth

    client = githubkit.GitHub(Strategy(), auto_retry=False)
    return lambda: str(client.request("GET", "/user").json()["login"])


@pytest.mark.parametrize(("make", "found"), [(notion, "Ada"), (github, "ada")], ids=["notion_client", "githubkit"])
def test_libraries(
    make: Any, found: str, internet: Any, emulator: Emulator, connection: Connection, asked: Callable[[], int]
) -> None:
    call = make(connection)
    assert call() == found
    newer = emulator.expire(None, "anything")
    assert call() == found
    assert call() == found
    assert [each.token for each in internet.sent] == [connection.access_token] * 2 + [newer] * 2
    assert asked() == 1
    internet.refuses = True
    for _ in range(3):
        with pytest.raises(Exception, match=r"401|(?i:credentials|unauthorized)"):
            call()
    assert asked() == 2  # whether there is one that is newer still; after that it pauses


@pytest.mark.parametrize("name", ["httpx2", "httpx"])
def test_a_redirect_to_another_host_says_nothing_about_the_token(
    name: str, internet: Any, connection: Connection, asked: Callable[[], int]
) -> None:
    library = pytest.importorskip(name)
    internet.redirects["/there"] = "https://elsewhere.example/"
    with library.Client(auth=connection.auth(), follow_redirects=True) as client:
        assert client.get("https://www.googleapis.com/there").status_code == 401
    assert [each.token for each in internet.sent] == [connection.access_token, ""]
    assert asked() == 0


@pytest.mark.parametrize("name", ["httpx2", "httpx"])
def test_a_redirect_within_the_host(name: str, internet: Any, emulator: Emulator, connection: Connection) -> None:
    library = pytest.importorskip(name)
    internet.redirects["/there"] = "/calendar/v3/calendars/primary/events"
    emulator.expire(None, "anything")
    with library.Client(auth=connection.auth(), follow_redirects=True) as client:
        assert client.get("https://www.googleapis.com/there").status_code == 200


def test_awaiting(settings: Settings, internet: Any, emulator: Emulator) -> None:
    """Many at once renew once; what others have renewed meanwhile is taken over."""
    import httpx2

    emulator.share("anything")

    async def main() -> None:
        async with AsyncBase44(settings=settings) as base44, httpx2.AsyncClient(timeout=60) as client:
            connection = await base44.as_service_role.connectors.get_connection("anything")
            auth = connection.auth()
            newer = emulator.expire(None, "anything")
            answers = await asyncio.gather(*(client.get(CALENDAR, auth=auth) for _ in range(8)))
            assert {each.status_code for each in answers} == {200}
            assert internet.sent[-1].token == newer
            assert len([each for each in emulator.requests if each.target.endswith("/anything")]) == 2

    asyncio.run(main())


# --- with a token that is asked for at every call


@pytest.mark.parametrize("ttl", [30])
def test_pygithub(ttl: int, settings: Settings, internet: Any, emulator: Emulator) -> None:
    """Its `Auth` is asked for each request, and told of no 401."""
    pytest.importorskip("github")
    from github import Auth, BadCredentialsException, Github

    from tests.drivers import changed

    class Live(Auth.Auth):
        token_type = "Bearer"

        def __init__(self, connectors: Any) -> None:
            self._connectors = connectors

        @property
        def token(self) -> str:
            return str(self._connectors.get_connection("github").access_token)

        def authentication(self, headers: dict[str, str]) -> None:
            headers["Authorization"] = f"Bearer {self.token}"

    emulator.share("github")
    with Base44(settings=changed(settings, connection_ttl=ttl)) as base44:
        connectors = base44.as_service_role.connectors
        client = Github(auth=Live(connectors), retry=None)
        assert client.get_user().login == "ada"
        newer = emulator.expire(None, "github")
        with pytest.raises(BadCredentialsException):
            _ = client.get_user().login
        base44.renew(connectors.get_connection("github"))
        assert client.get_user().login == "ada"
        assert internet.sent[-1].token == newer
        client.close()
