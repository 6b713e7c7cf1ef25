"""The emulator: the connector platform of contract 0.8.50, an app's sign-in, and a provider, in one process."""

from __future__ import annotations

import fnmatch
import json
import re
import secrets
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, unquote, urlsplit

import jwt

from .._core.values import AppUser
from ._faults import Answer, Fault, Recorded
from ._provider import Provider
from ._replies import HTML, Reply, detail, json_reply
from ._state import State
from ._transport import InProcess

CALENDAR_ID = "69e6a1c2d3f4b5a697886950"  # the demo's app-user connector
WORKSPACE_ID = "70a1b2c3d4e5f60718293a4b"
_PASSWORD = "correct horse"  # noqa: S105 - the demo users'; the emulator binds loopback only
_TOKEN_LIFETIME = 360 * 24 * 3600  # seconds; the local dev server's
_LINK_LIFETIME = 600  # seconds; documented for shared connectors
_LOOPBACK_HOST = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d{1,5})?")


class _Ordered(NamedTuple):
    fault: Fault
    method: str | None
    path: str
    left: list[int | None]


class Emulator:
    """A Base44 platform for tests and demos, with one app.

    Args:
        state: where to keep it: `":memory:"`, or the path of a SQLite file that survives a restart.
        app_id: the app's ID.

    Attributes:
        service_token: the app's service token, random.
        requests: what it was sent, oldest first.
        page: an app's page that it hosts at its root, or `None`.

    ```python
    with Emulator() as emulator, emulator.serve() as server:
        ada = emulator.add_user("ada@example.com")
        emulator.connect(ada, "calendar-id")
        client = Base44(app_id=emulator.app_id, token=emulator.sign_in(ada), server_url=server.url, ...)
    ```
    """

    def __init__(self, state: str = ":memory:", *, app_id: str = "demo-app") -> None:
        self._state = State(state)
        self.app_id = self._state.setting("app_id", app_id)
        self.service_token = self._state.setting("service_token", f"service-{secrets.token_urlsafe(24)}")
        self._jwt_secret = self._state.setting("jwt_secret", secrets.token_urlsafe(48))
        self.requests: list[Recorded] = []
        self.page: bytes | None = None
        self._provider = Provider(self._state)
        self._faults: list[_Ordered] = []
        self._lock = threading.Lock()

    @classmethod
    def demo(cls, state: str = ":memory:") -> Self:
        """One with two users, a calendar each can connect, shared Slack, a workspace connector and metered X."""
        self = cls(state)
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
        record = {
            "id": secrets.token_hex(12), "email": email, "full_name": full_name, "role": role, "is_verified": True,
            "app_id": self.app_id, "is_service": False, "disabled": False, **fields,
        }  # fmt: skip
        titles = [f"{first}'s stand-up", f"{first} meets the team"] if events is None else events
        day = time.strftime("%Y-%m-%d", time.gmtime())
        calendar = [
            {"summary": title, "start": {"dateTime": f"{day}T{9 + n % 14:02}:00:00Z"}} for n, title in enumerate(titles)
        ]
        self._state.add_user(email, password, record, calendar)
        return AppUser.from_record(record)

    def sign_in(self, user: AppUser, *, lifetime: float = _TOKEN_LIFETIME, **claims: Any) -> str:
        """A JWT of a user, as the local dev server makes them: HS256, `sub` is the email.

        Args:
            user: who.
            lifetime: seconds until it expires; negative for one that has expired.
            claims: put in their place or added.
        """
        now = int(time.time())
        payload = {"sub": user.email, "iat": now, "exp": now + int(lifetime), **claims}
        return jwt.encode(payload, self._jwt_secret, algorithm="HS256")  # pyright: ignore[reportUnknownMemberType]

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
        with self._lock:
            self._faults.append(_Ordered(fault, method, path, [times]))

    def clear_faults(self) -> None:
        """Forget all faults ordered."""
        with self._lock:
            self._faults.clear()

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
        with self._lock:
            self.requests.append(request)
            fault = self._take_fault(request)
        host = request.header("host") or ""
        base = origin or (f"http://{host}" if _LOOPBACK_HOST.fullmatch(host) else "http://127.0.0.1")
        status, headers, body = self._route(request, base)
        headers = {"access-control-allow-origin": "*", "cache-control": "no-store", **headers}
        headers |= {name.lower(): value for name, value in fault.headers.items()}
        return Answer(
            status if fault.status is None else fault.status,
            tuple(headers.items()),
            body if fault.body is None else fault.body,
            fault,
        )

    def _take_fault(self, request: Recorded) -> Fault:
        path = request.target.partition("?")[0]
        for ordered in self._faults:
            if fnmatch.fnmatchcase(path, ordered.path) and ordered.method in (None, request.method):
                if ordered.left[0] is not None:
                    ordered.left[0] -= 1
                    if ordered.left[0] <= 0:
                        self._faults.remove(ordered)
                return ordered.fault
        return Fault()

    def _route(self, request: Recorded, base: str) -> Reply:
        if request.method == "OPTIONS":
            allow = {"access-control-allow-headers": "*, authorization", "access-control-allow-methods": "*"}
            return 204, allow, b""
        parts = urlsplit(request.target)
        segments = [unquote(segment) for segment in parts.path.split("/")[1:]]
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        match request.method, segments:
            case _, ["api", "apps", app, *rest] if app == self.app_id:
                return self._app(request, rest, base)
            case "GET", [""] if self.page is not None:
                return 200, HTML, self.page
            case "GET", ["api", "external-auth", "callback"]:
                return self._provider.callback(query)
            case "GET" | "POST", ["provider", "consent"]:
                return self._provider.consent(request, query, base)
            case "GET", ["provider", "calendar", "v3", "calendars", "primary", "events"]:
                return self._provider.events(request)
            case "GET", ["provider", "slack", "api", "auth.test"]:
                return self._provider.slack(request)
            case _:
                return detail(404, "Not Found")

    def _app(self, request: Recorded, path: list[str], base: str) -> Reply:
        match request.method, path:
            case "POST", ["auth", "login"]:
                return self._login(request)
            case "GET", ["entities", "User", "me"]:
                user = self._user(request.header("authorization"))
                return detail(401, "Unauthorized") if user is None else json_reply(200, user)
            case "GET", ["external-auth", "tokens", "connectors", connector]:
                return self._refuse_service(request) or self._token("workspace", connector)
            case "GET", ["external-auth", "tokens", connector]:
                return self._refuse_service(request) or self._shared_token(connector)
            case "GET", ["app-user-auth", "connectors", connector, "token"]:
                return self._refuse_service(request) or self._app_user_token(request, connector)
            case "POST", ["connectors", connector, "call"]:
                return self._refuse_service(request) or self._call(request, connector)
            case "POST", ["app-user-auth", "connectors", connector, "initiate"]:
                return self._initiate(request, connector, base)
            case "DELETE", ["app-user-auth", "connectors", connector]:
                return self._disconnect(request, connector)
            case _:
                return detail(404, "Not Found")

    # --- who is asking

    def _user(self, header: str | None) -> dict[str, Any] | None:
        try:
            claims = jwt.decode(  # pyright: ignore[reportUnknownMemberType]
                (header or "").removeprefix("Bearer "), self._jwt_secret, algorithms=["HS256"]
            )
        except jwt.InvalidTokenError:
            return None
        row = self._state.one("SELECT record FROM users WHERE email = ?", claims.get("sub"))
        return None if row is None else json.loads(row["record"])

    def _refuse_service(self, request: Recorded) -> Reply | None:
        header = request.header("authorization")
        if header is not None and secrets.compare_digest(header.encode(), f"Bearer {self.service_token}".encode()):
            return None
        if self._user(header) is not None:
            return detail(403, "This endpoint is only accessible to service tokens")
        return detail(401, "Unauthorized")

    def _login(self, request: Recorded) -> Reply:
        try:
            given = json.loads(request.body)
            row = self._state.one("SELECT * FROM users WHERE email = ?", str(given["email"]))
            password = str(given["password"])
        except (ValueError, KeyError, TypeError):
            return json_reply(422, {"detail": [{"loc": ["body"], "msg": "email and password are required"}]})
        if row is None or not secrets.compare_digest(password.encode(), row["password"].encode()):
            return detail(401, "Invalid email or password")
        record = json.loads(row["record"])
        return json_reply(200, {"access_token": self.sign_in(AppUser.from_record(record)), "user": record})

    # --- connections

    def _token(self, kind: str, connector: str, owner: str = "") -> Reply:
        row = self._state.connection(kind, connector, owner)
        if row is None:
            return json_reply(404, {"detail": "Connector connection not found", "code": "NOT_FOUND"})
        body = {"access_token": row["token"], "integration_type": row["integration_type"]}
        return json_reply(200, body | ({"connection_config": json.loads(row["config"])} if row["config"] else {}))

    def _shared_token(self, connector: str) -> Reply:
        if self._state.connector("metered", connector) is not None:
            body = {"detail": "This connector is metered: call it through the proxy"}
            return json_reply(403, body, {"x-base44-connector-error": "metered_connector_requires_proxy"})
        return self._token("shared", connector)

    def _app_user_token(self, request: Recorded, connector: str) -> Reply:
        user = self._user(request.header("on-behalf-of"))
        return detail(401, "Unauthorized") if user is None else self._token("app_user", connector, user["id"])

    def _initiate(self, request: Recorded, connector: str, base: str) -> Reply:
        user = self._user(request.header("authorization"))
        if user is None:
            return detail(401, "Unauthorized")
        if self._state.connector("app_user", connector) is None:
            return json_reply(404, {"detail": "Connector authorization not configured", "code": "NOT_FOUND"})
        row = self._state.connection("app_user", connector, user["id"])
        if row is not None:
            return json_reply(200, {"redirect_url": None, "connection_id": row["id"], "already_authorized": True})
        state = self._state.start_flow(connector, user["id"], _LINK_LIFETIME)
        body = {"connection_id": secrets.token_hex(12), "already_authorized": False}
        return json_reply(200, {"redirect_url": f"{base}/provider/consent?state={state}", **body})

    def _disconnect(self, request: Recorded, connector: str) -> Reply:
        user = self._user(request.header("authorization"))
        if user is None:
            return detail(401, "Unauthorized")
        if self._state.connection("app_user", connector, user["id"]) is None:
            return detail(404, "No active connection found for this connector")
        self._state.disconnect("app_user", connector, user["id"])
        return json_reply(200, {"status": "disconnected", "connector_id": connector})

    def _call(self, request: Recorded, connector: str) -> Reply:
        if self._state.connector("metered", connector) is None:
            return json_reply(404, {"detail": "Connector proxy not configured", "code": "NOT_FOUND"})
        left = int(self._state.setting("credits", "0"))
        if left <= 0:
            reason = {"reason": "integration_credits_limit_reached"}
            return json_reply(402, {"message": "The workspace has no integration credits left", "extra_data": reason})
        self._state.change_setting("credits", str(left - 1))
        call = json.loads(request.body)
        # The provider behind the proxy: one user, and posts that are echoed.
        known = {("GET", "/2/users/me"): {"data": {"username": "example"}}, ("POST", "/2/tweets"): call["body"]}
        data = known.get((call["method"], call["path"]))
        status = 404 if data is None else 200 if call["method"] == "GET" else 201
        body = {
            "success": status < 300, "phase": "responded", "status_code": status,
            "data": {"title": "Not Found"} if data is None else data, "data_base64": None, "content_type": None,
            "headers": {"x-rate-limit-remaining": str(left - 1)}, "credits_charged": 1,
        }  # fmt: skip
        return json_reply(200, body)
