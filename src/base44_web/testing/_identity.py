"""Who a request is from: an app user, the app's service role, or the command line tool."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import jwt

from ._faults import Recorded
from ._replies import Reply, detail, json_reply
from ._state import State

Mode: TypeAlias = Literal["platform", "dev"]
TOKEN_LIFETIME = 360 * 24 * 3600  # seconds; the local dev server's
# Both published in npm `base44` 0.1.18, dev-server/auth/tokens.ts: no secrets. HMAC fills keys up with zeros itself
# (RFC 2104); written out, the key is long enough for PyJWT, which else warns.
_DEV_SECRET = "LOCAL_DEV_SECRET".ljust(32, "\0")
_DEV_SERVICE = "server@server.com"


def new_record(email: str, *, app_id: str, **fields: Any) -> dict[str, Any]:
    """An app user's record (`User` in the reference client's dist/modules/auth.types.d.ts)."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000000", time.gmtime())
    return {
        "id": secrets.token_hex(12), "email": email, "full_name": "", "role": "user", "is_verified": True,
        "app_id": app_id, "is_service": False, "disabled": False, "created_date": now, "updated_date": now, **fields,
    }  # fmt: skip


class Identity:
    """Makes tokens and reads them.

    Attributes:
        service_token: the app's service token.
        api_key: what the command line tool signs in with (`BASE44_API_KEY`).
        dev: whether to answer as `base44 dev` does.
    """

    def __init__(self, state: State, app_id: str, mode: Mode) -> None:
        self._state = state
        self.app_id = app_id
        self.dev = mode == "dev"
        self._secret = _DEV_SECRET if self.dev else state.setting("jwt_secret", secrets.token_urlsafe(48))
        random = f"service-{secrets.token_urlsafe(24)}"
        self.service_token = self.sign(_DEV_SERVICE) if self.dev else state.setting("service_token", random)
        self.api_key = state.setting("api_key", f"b44k_{secrets.token_urlsafe(24)}")

    def sign(self, email: str, lifetime: float = TOKEN_LIFETIME, claims: Mapping[str, Any] | None = None) -> str:
        now = int(time.time())
        payload = {"sub": email, "iat": now, "exp": now + int(lifetime), **(claims or {})}
        return jwt.encode(payload, self._secret, algorithm="HS256")  # pyright: ignore[reportUnknownMemberType]

    def _subject(self, header: str | None) -> str | None:
        """The `sub` of a bearer token. `base44 dev` checks no signature and no expiry (entities/current-user.ts)."""
        if header is None or not header.startswith("Bearer "):
            return None
        options: Any = {"verify_signature": not self.dev, "verify_exp": not self.dev}
        try:
            claims = jwt.decode(  # pyright: ignore[reportUnknownMemberType]
                header.removeprefix("Bearer "), self._secret, algorithms=["HS256"], options=options
            )
        except jwt.InvalidTokenError:
            return None
        return str(claims.get("sub") or "") or None

    def user(self, header: str | None) -> dict[str, Any] | None:
        """The record of the user whose token this is, or `None`."""
        row = self._state.one("SELECT record FROM users WHERE email = ?", self._subject(header))
        return None if row is None else json.loads(row["record"])

    def shown(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """A record as the platform gives it; `base44 dev` gives no `app_id`, and `disabled` is null."""
        if not self.dev:
            return dict(record)
        shown = {name: value for name, value in record.items() if name != "app_id"}
        return {**shown, "disabled": record.get("disabled") or None, "collaborator_role": "editor"}

    def refuse_user(self, header: str | None) -> Reply:
        """The answer to a token that is nobody's."""
        if not self.dev:
            return detail(401, "Unauthorized")
        subject = self._subject(header)
        if subject is None:
            return json_reply(401, {"error": "Unauthorized"})
        if subject == _DEV_SERVICE:
            return json_reply(404, {"error": 'User with id "me" not found'})
        return json_reply(404, {"error": "Unable to read data for the current user"})

    def refuse_service(self, request: Recorded) -> Reply | None:
        """The answer to a request that is not the app's own; `None` lets it pass."""
        header = request.header("authorization")
        if header is not None and secrets.compare_digest(header.encode(), f"Bearer {self.service_token}".encode()):
            return None
        if self.user(header) is not None:
            return detail(403, "This endpoint is only accessible to service tokens")
        return detail(401, "Unauthorized")

    def refuse_tool(self, request: Recorded) -> Reply | None:
        """The answer to who is not the command line tool (its base44-client.ts: `api_key`, or a bearer token)."""
        given = request.header("api_key") or (request.header("authorization") or "").removeprefix("Bearer ")
        return None if secrets.compare_digest(given.encode(), self.api_key.encode()) else detail(401, "Unauthorized")
