"""The connector routes of contract §2: tokens, the metered proxy, and app users who connect and disconnect."""

from __future__ import annotations

import json
import secrets

from ._faults import Recorded
from ._identity import Identity
from ._replies import Reply, detail, json_reply
from ._state import State


class Connections:
    """Answers `@base44/sdk`'s dist/modules/connectors.js."""

    def __init__(self, state: State, identity: Identity) -> None:
        self._state = state
        self._identity = identity

    def answer(self, request: Recorded, path: list[str], base: str, *, link_lifetime: float) -> Reply | None:
        """Answer; `None` for what is none of these routes. `link_lifetime` is in seconds."""
        refuse_service = self._identity.refuse_service
        match request.method, path:
            case "GET", ["external-auth", "tokens", "connectors", connector]:
                return refuse_service(request) or self._token("workspace", connector)
            case "GET", ["external-auth", "tokens", connector]:
                return refuse_service(request) or self._shared_token(connector)
            case "GET", ["app-user-auth", "connectors", connector, "token"]:
                return refuse_service(request) or self._app_user_token(request, connector)
            case "POST", ["connectors", connector, "call"]:
                return refuse_service(request) or self._call(request, connector)
            case "POST", ["app-user-auth", "connectors", connector, "initiate"]:
                return self._initiate(request, connector, base, link_lifetime)
            case "DELETE", ["app-user-auth", "connectors", connector]:
                return self._disconnect(request, connector)
            case _:
                return None

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
        user = self._identity.user(request.header("on-behalf-of"))
        return detail(401, "Unauthorized") if user is None else self._token("app_user", connector, user["id"])

    def _initiate(self, request: Recorded, connector: str, base: str, link_lifetime: float) -> Reply:
        user = self._identity.user(request.header("authorization"))
        if user is None:
            return detail(401, "Unauthorized")
        if self._state.connector("app_user", connector) is None:
            return json_reply(404, {"detail": "Connector authorization not configured", "code": "NOT_FOUND"})
        row = self._state.connection("app_user", connector, user["id"])
        if row is not None:
            return json_reply(200, {"redirect_url": None, "connection_id": row["id"], "already_authorized": True})
        state = self._state.start_flow(connector, user["id"], link_lifetime)
        body = {"connection_id": secrets.token_hex(12), "already_authorized": False}
        return json_reply(200, {"redirect_url": f"{base}/provider/consent?state={state}", **body})

    def _disconnect(self, request: Recorded, connector: str) -> Reply:
        user = self._identity.user(request.header("authorization"))
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
