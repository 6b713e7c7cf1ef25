"""The outside service: its consent page and APIs, and the platform's own callback page, to which it returns."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from ._faults import Recorded
from ._pages import callback_page, consent_page, message_page
from ._replies import HTML, Reply, json_reply
from ._state import State


class Provider:
    """Stands in for Google and Slack; it accepts only tokens of live connections."""

    def __init__(self, state: State, app_id: str) -> None:
        self._state = state
        self._app_id = app_id

    def consent(self, request: Recorded, query: Mapping[str, str], base: str) -> Reply:
        flow = self._state.flow(query.get("state", ""))
        if flow is None:
            return 400, HTML, message_page("This link has expired", "Go back to the app and start again.")
        connector = self._state.connector(_kind(flow), flow["connector"])
        user = self._state.one("SELECT email FROM users WHERE id = ?", flow["owner"])
        whose = "the whole app" if user is None else user["email"]
        if request.method == "GET" and connector is not None and (user is not None or not flow["owner"]):
            return 200, HTML, consent_page(connector["integration_type"], self._app_id, whose)
        approved = parse_qs(request.body.decode("utf-8", "replace")).get("answer") == ["approve"]
        outcome = f"code={self._state.approve_flow(flow['state'])}" if approved else "error=access_denied"
        return 303, {"location": f"{base}/api/external-auth/callback?state={flow['state']}&{outcome}"}, b""

    def callback(self, query: Mapping[str, str]) -> Reply:
        flow = self._state.finish_flow(query.get("state", ""))
        if flow is None:
            return 400, HTML, message_page("This link has expired", "Go back to the app and start again.")
        connected = flow["code"] is not None and secrets.compare_digest(flow["code"], query.get("code", ""))
        if connected:
            self._state.connect(_kind(flow), flow["connector"], flow["owner"])
        return 200, HTML, callback_page(connected=connected)

    def _live(self, request: Recorded, kind: str) -> Any:
        token = (request.header("authorization") or "").removeprefix("Bearer ")
        return self._state.one("SELECT * FROM connections WHERE token = ? AND kind = ?", token, kind)

    def events(self, request: Recorded) -> Reply:
        connection = self._live(request, "app_user")
        if connection is None:
            return json_reply(
                401, {"error": {"code": 401, "message": "Invalid Credentials", "status": "UNAUTHENTICATED"}}
            )
        user = self._state.one("SELECT email, events FROM users WHERE id = ?", connection["owner"])
        assert user is not None
        return json_reply(
            200, {"kind": "calendar#events", "summary": user["email"], "items": json.loads(user["events"])}
        )

    def slack(self, request: Recorded) -> Reply:
        if self._live(request, "shared") is None:
            return json_reply(200, {"ok": False, "error": "invalid_auth"})
        return json_reply(200, {"ok": True, "team": "Example", "user": "app"})


def _kind(flow: Any) -> str:
    """A flow with no owner connects a shared connector."""
    return "app_user" if flow["owner"] else "shared"
