"""The emulator: the connector platform of contract 0.8.50, an app's sign-in, and a provider, in one process."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from .._core.config import Settings
from .._core.values import AppUser
from . import _realtime
from ._accounts import Accounts
from ._connections import Connections
from ._faults import Answer, Fault, Faults, Recorded
from ._frontend import Hosting, app_logs, public_settings, track
from ._functions import Functions
from ._identity import TOKEN_LIFETIME, Identity, Mode, new_record
from ._loopback import cors, is_loopback
from ._management import Management
from ._overview import own_page
from ._provider import Provider
from ._replies import HTML, Reply, detail, json_reply, not_emulated
from ._sign_in import SignIn, logout
from ._state import State
from ._transport import InProcess

CALENDAR_ID = "69e6a1c2d3f4b5a697886950"  # the demo's app-user connector
WORKSPACE_ID = "70a1b2c3d4e5f60718293a4b"
_PASSWORD = "correct horse"  # noqa: S105 - the demo users'; the emulator binds loopback only
_LINK_LIFETIME = 600  # seconds; documented for shared connectors


class Emulator:
    """A Base44 platform for tests and demos, with one app.

    Args:
        state: where to keep it: `":memory:"`, or the path of a SQLite file that survives a restart.
        app_id: the app's ID.
        mode: `"dev"` answers sign-in and `User/me` as the local server of Base44's command line tool does: records
            without `app_id`, tokens signed with its published secret and never checked.

    Attributes:
        requests: what it was sent, oldest first.
        page: an app's page that it hosts at its root, or `None`.
        url: the origin where it is served; `None` while it is not.

    ```python
    with Emulator() as emulator, emulator.serve() as server:
        ada = emulator.add_user("ada@example.com")
        emulator.connect(ada, "calendar-id")
        client = Base44(app_id=emulator.app_id, token=emulator.sign_in(ada), server_url=server.url, ...)
    ```
    """

    def __init__(self, state: str = ":memory:", *, app_id: str = "demo-app", mode: Mode = "platform") -> None:
        self._state = State(state)
        self.app_id = self._state.setting("app_id", app_id)
        self.requests: list[Recorded] = []
        self.page: bytes | None = None
        self._identity = Identity(self._state, self.app_id, mode)
        self._accounts = Accounts(self._state, self._identity)
        self._connections = Connections(self._state, self._identity)
        self._functions = Functions(self._identity)
        self._management = Management(self._state)
        self._provider = Provider(self._state, self.app_id)
        self._sign_in = SignIn(self._state, self._identity)
        self._faults = Faults()
        self.url: str | None = None
        self._hosting = Hosting()

    @classmethod
    def demo(cls, state: str = ":memory:", *, mode: Mode = "platform") -> Self:
        """One with two users, a calendar each can connect, shared Slack, a workspace connector and metered X."""
        self = cls(state, mode=mode)
        if self._state.one("SELECT 1 FROM users") is None:
            self.add_user("ada@example.com", full_name="Ada Lovelace", password=_PASSWORD)
            self.add_user("grace@example.com", full_name="Grace Hopper", password=_PASSWORD)
            self.add_app_user_connector(CALENDAR_ID, "googlecalendar")
            self.share("slack", config={"team": "example"})
            self.share_workspace(WORKSPACE_ID, "snowflake", config={"account": "example-account"})
            self.add_metered("x")
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the state."""
        self._state.close()

    @property
    def service_token(self) -> str:
        """The app's service token."""
        return self._identity.service_token

    @service_token.setter
    def service_token(self, token: str) -> None:
        self._identity.service_token = token

    @property
    def api_key(self) -> str:
        """What Base44's command line tool signs in with here: `BASE44_API_KEY`, beside `BASE44_API_URL`."""
        return self._identity.api_key

    def settings(self, **fields: Any) -> Settings:
        """The settings of an app against this emulator.

        Nothing is remembered (`connection_ttl`, `identity_ttl`): what a test changes shows at once. `"calendar"` is the
        name of `CALENDAR_ID`. Where the emulator is not served, give the app its `transport`, too.

        Args:
            fields: of `Settings`, more or others.
        """
        usual: dict[str, Any] = {
            "app_id": self.app_id, "server_url": self.url, "service_token": self.service_token, "connection_ttl": 0,
            "identity_ttl": 0, "app_user_connectors": {"calendar": CALENDAR_ID},
        }  # fmt: skip
        return Settings(**{**usual, **fields})

    # --- setting up

    def add_user(
        self,
        email: str,
        *,
        full_name: str = "",
        password: str = _PASSWORD,
        role: str = "user",
        events: Iterable[str] | None = None,
        **fields: Any,
    ) -> AppUser:
        """An app user who can sign in; `fields` go into their record. `events` are titles in their calendar."""
        first = full_name.partition(" ")[0] or email.partition("@")[0].title()
        own = {"app_id": self.app_id, "full_name": full_name, "role": role}
        record = new_record(email, **{**own, **fields})
        titles = [f"{first}'s stand-up", f"{first} meets the team"] if events is None else events
        day = time.strftime("%Y-%m-%d", time.gmtime())
        calendar = [
            {"summary": title, "start": {"dateTime": f"{day}T{9 + n % 14:02}:00:00Z"}} for n, title in enumerate(titles)
        ]
        self._state.add_user(email, password, record, calendar)
        return AppUser.from_record(record)

    def sign_in(self, user: AppUser, *, lifetime: float = TOKEN_LIFETIME, **claims: Any) -> str:
        """A JWT of a user, as the local dev server makes them: HS256, `sub` is the email.

        Args:
            user: who.
            lifetime: seconds until it expires; negative for one that has expired.
            claims: put in their place or added.
        """
        assert user.email is not None
        return self._identity.sign(user.email, lifetime, claims)

    def users(self) -> list[AppUser]:
        """Who can sign in, in the order in which they came."""
        return [AppUser.from_record(record) for record in self._state.records()]

    def remove_user(self, user: AppUser) -> None:
        """Remove a user, with what they connected; their tokens outlive them."""
        self._state.remove_user(user.id)

    def verification_code(self, email: str) -> str | None:
        """The code that the platform would have sent to who registers with this address."""
        row = self._state.one("SELECT code FROM registrations WHERE email = ?", email)
        return None if row is None else row["code"]

    def reset_token(self, email: str) -> str | None:
        """The token that the platform would have sent to who forgot their password."""
        row = self._state.one("SELECT token FROM resets WHERE email = ?", email)
        return None if row is None else str(row["token"])

    def host(self, folder: str | Path, at: str = "/") -> None:
        """Host a built front end, as the platform hosts apps.

        Args:
            folder: what a build made, such as `dist`, with an `index.html` for every path that is no file.
            at: the path that the front end was built for (`base` in Vite).
        """
        self._hosting.add(Path(folder), at)

    def add_function(self, name: str, origin: str) -> None:
        """Pass calls of a backend function on to a server, with the headers that the platform sets.

        Args:
            name: the function's name.
            origin: where a server stands in for it; it is asked at `/functions/<name>`, in dev mode at `/<name>`.
        """
        self._functions.add(name, origin)

    def add_app_user_connector(
        self, connector_id: str, integration_type: str = "googlecalendar", *, config: Mapping[str, str] | None = None
    ) -> None:
        """A connector that each app user connects for themselves."""
        self._state.add_connector("app_user", connector_id, integration_type, config)

    def connect(self, user: AppUser, connector_id: str) -> str:
        """Connect a user as if they had consented; returns the provider's access token."""
        if self._state.connector("app_user", connector_id) is None:
            self.add_app_user_connector(connector_id)
        return str(self._state.connect("app_user", connector_id, user.id)["token"])

    def disconnect(self, user: AppUser, connector_id: str) -> None:
        """End a user's connection; its token dies."""
        self._state.disconnect("app_user", connector_id, user.id)

    def expire(self, user: AppUser | None, connector: str) -> str:
        """Let a connection's token die: the provider refuses it from now on, and the platform has a newer one.

        Args:
            user: whose; `None` for a connector that the app or the workspace shares.
            connector: the connector's ID, or the integration type of a shared one.

        Returns:
            The newer token.

        Raises:
            LookupError: it is not connected.
        """
        kinds, owner = (("shared", "workspace"), "") if user is None else (("app_user",), user.id)
        for kind in kinds:
            if self._state.connection(kind, connector, owner) is not None:
                return self._state.replace_token(kind, connector, owner)
        raise LookupError(f"{connector} is not connected")

    def share(self, integration_type: str, *, config: Mapping[str, str] | None = None) -> str:
        """Connect a shared connector; returns the provider's access token."""
        self._state.add_connector("shared", integration_type, integration_type, config)
        return str(self._state.connect("shared", integration_type)["token"])

    def share_token(self, integration_type: str) -> str:
        """The provider's access token of a shared connector that is connected."""
        row = self._state.connection("shared", integration_type)
        assert row is not None, f"{integration_type} is not shared"
        return str(row["token"])

    def share_workspace(
        self, connector_id: str, integration_type: str = "snowflake", *, config: Mapping[str, str] | None = None
    ) -> str:
        """Connect a workspace connector; returns the provider's access token."""
        self._state.add_connector("workspace", connector_id, integration_type, config)
        return str(self._state.connect("workspace", connector_id)["token"])

    def add_metered(self, integration_type: str, *, credits_left: int = 1000) -> None:
        """A metered connector, for `call_api`; a call takes one credit."""
        self._state.add_connector("metered", integration_type, integration_type, None)
        self._state.change_setting("credits", str(credits_left))

    def fault(self, fault: Fault, *, path: str = "*", method: str | None = None, times: int | None = 1) -> None:
        """Order a fault for requests to come.

        Args:
            fault: what goes wrong.
            path: a pattern for the path (`fnmatch`), such as `"*/token"`.
            method: only for this method.
            times: for so many requests; `None`: until `clear_faults()`.
        """
        self._faults.order(fault, method, path, times)

    def clear_faults(self) -> None:
        """Forget all faults ordered."""
        self._faults.clear()

    def unused_faults(self) -> list[str]:
        """The faults ordered that no request has met, in words."""
        return self._faults.unused()

    def serve(self, *, port: int = 0, host: str = "127.0.0.1") -> AbstractContextManager[Any]:
        """Serve over HTTP from a thread, in a `with` block; what it gives has `url`. Port 0 takes a free one."""
        from ._server import Server

        return Server(self, host, port)

    @property
    def transport(self) -> InProcess:
        """A transport in this process, to pass as `transport=`: no sockets; faults behave alike."""
        return InProcess(self)

    # --- answering

    def answer(self, request: Recorded, *, origin: str | None = None) -> Answer:
        """Record a request and answer it. `origin` is the address it came to, if its `Host` does not tell."""
        self.requests.append(request)
        fault = self._faults.take(request)
        host = request.header("host") or ""
        base = origin or (f"http://{host}" if is_loopback(host) else "http://127.0.0.1")
        status, headers, body = self._route(request, base)
        asked_for = request.header("access-control-request-headers")
        shared = cors(request.header("origin"), asked_for, dev=self._identity.dev)
        headers = {**shared, "cache-control": "no-store", **headers}
        headers |= {name.lower(): value for name, value in fault.headers.items()}
        return Answer(
            status if fault.status is None else fault.status,
            tuple(headers.items()),
            body if fault.body is None else fault.body,
            fault,
        )

    def _route(self, request: Recorded, base: str) -> Reply:
        if request.method == "OPTIONS":
            return 204, {}, b""
        parts = urlsplit(request.target)
        segments = [unquote(segment) for segment in parts.path.split("/")[1:]]
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        match request.method, segments:
            case _, ["api" | "functions" | "ws-user-apps", *_]:
                return self._api(request, segments, query, base)
            case "GET" | "POST", ["login"]:
                return self._sign_in.answer(request, query, base)
            case "GET" | "POST", ["provider", "consent"]:
                return self._provider.consent(request, query, base)
            case "GET", ["provider", "calendar", "v3", "calendars", "primary", "events"]:
                return self._provider.events(request)
            case "GET", ["provider", "slack", "api", "auth.test"]:
                return self._provider.slack(request)
            case "GET", [""] if self.page is not None:
                return 200, HTML, self.page
            case "GET" | "HEAD", ["healthz"]:
                return json_reply(200, {"status": "ok"})
            case "GET" | "HEAD", _:
                return self._hosting.answer(request, segments) or own_page(self._state, self.app_id, segments)
            case _:
                return detail(404, "Not Found")

    def _api(self, request: Recorded, path: list[str], query: Mapping[str, str], base: str) -> Reply:
        match request.method, path:
            case _, ["api", "apps", app, *rest] if app == self.app_id:
                return self._app(request, rest, query, base)
            case "GET" | "POST", ["api", "apps", "auth", "login"]:
                return self._sign_in.answer(request, query, base, "google")
            case "GET" | "POST", ["api", "apps", "auth", provider, "login"]:
                return self._sign_in.answer(request, query, base, provider)
            case "GET", ["api", "apps", "auth", "logout"]:
                return logout(query, base)
            case "GET", ["api", "apps", "public", "prod", "public-settings", "by-id", app]:
                return public_settings(app, self.app_id)
            case _, ["api", "app-logs", app, *rest] if app == self.app_id:
                return app_logs(request, rest)
            case _, ["functions", _, *_] | ["api", "functions", _, *_]:
                return self._functions.answer(request, base)
            case "GET", ["ws-user-apps", "socket.io", ""]:
                return _realtime.answer(request)
            case "GET", ["api", "external-auth", "callback"]:
                return self._provider.callback(query)
            case _:
                return detail(404, "Not Found")

    def _app(self, request: Recorded, path: list[str], query: Mapping[str, str], base: str) -> Reply:
        match request.method, path:
            case "GET" | "PUT", ["entities", "User", "me"]:
                return self._accounts.me(request)
            case "GET" | "POST", ["auth", "sso", "login"]:
                return self._sign_in.answer(request, query, base, "sso")
            case _, ["auth", "sso", *_]:
                return not_emulated("Tokens of single sign-on are")
            case "POST", ["analytics", "track", "batch"]:
                return track(request)
            case _, ["functions", _, *_]:
                return self._functions.answer(request, base)
            case _, ["actors", *_]:
                # 404 is an answer after which the reference client gives up (dist/modules/actors.js).
                return not_emulated("Actors are", 404)
            case _, ["entities" | "integration-endpoints" | "integrations" | "agents" | "ai" | "users" | "runtime", *_]:
                return not_emulated(f"{path[0].capitalize()} are")
            case _:
                return (
                    self._connections.answer(request, path, base, link_lifetime=_LINK_LIFETIME)
                    or (self._accounts.answer(request, path[1:]) if path[:1] == ["auth"] else None)
                    or self._tool(request, path, query, base)
                )

    def _tool(self, request: Recorded, path: list[str], query: Mapping[str, str], base: str) -> Reply:
        if path[:1] not in (["external-auth"], ["payments"]):
            return detail(404, "Not Found")
        refused = self._identity.refuse_tool(request)
        return refused or self._management.answer(request, path, query, base) or detail(404, "Not Found")
