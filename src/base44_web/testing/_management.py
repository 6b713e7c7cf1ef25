"""What `base44 connectors …` asks (npm `base44` 0.1.18, core/resources/connector/api.ts and stripe.ts)."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

from .._core.catalogue import SERVICES
from ._faults import Recorded
from ._replies import Reply, detail, json_reply, not_emulated
from ._state import State

_LINK_LIFETIME = 600  # seconds; documented


class Management:
    """The shared connectors of the app, listed, connected and removed. The caller has checked who asks."""

    def __init__(self, state: State) -> None:
        self._state = state

    def answer(self, request: Recorded, path: list[str], query: Mapping[str, str], base: str) -> Reply | None:
        """Answer; `None` for what is none of these routes."""
        match request.method, path:
            case "GET", ["external-auth", "list"]:
                return json_reply(200, {"integrations": self._listed()})
            case "GET", ["external-auth", "available-integrations"]:
                return json_reply(200, {"integrations": [_available(*service) for service in SERVICES.items()]})
            case "GET", ["external-auth", "status"]:
                return self._status(query.get("integration_type", ""))
            case "PUT", ["external-auth", "integrations", integration_type]:
                return self._set(request, integration_type, base)
            case "DELETE", ["external-auth", "integrations", integration_type, "remove"]:
                return self._remove(integration_type)
            case "GET", ["payments", "stripe", "status"]:
                return json_reply(200, {"stripe_mode": None, "sandbox_claim_url": None})
            case _, ["payments", "stripe", *_]:
                return not_emulated("Stripe is")
            case _:
                return None

    def _listed(self) -> list[dict[str, Any]]:
        rows = self._state.all("SELECT id, config FROM connectors WHERE kind = 'shared' ORDER BY id")
        live = [row["id"] for row in rows if self._state.connection("shared", row["id"]) is not None]
        return [
            {"integration_type": identifier, "status": "active", "scopes": self._scopes(identifier)}
            for identifier in live
        ]

    def _scopes(self, integration_type: str) -> list[str]:
        scopes: list[str] = json.loads(self._state.setting(f"scopes {integration_type}", "[]"))
        return scopes

    def _set(self, request: Recorded, integration_type: str, base: str) -> Reply:
        try:
            scopes = json.loads(request.body)["scopes"]
        except (ValueError, KeyError, TypeError):
            return json_reply(422, {"detail": [{"loc": ["body", "scopes"], "msg": "Field required"}]})
        if self._state.connector("shared", integration_type) is None:
            self._state.add_connector("shared", integration_type, integration_type, None)
        self._state.change_setting(f"scopes {integration_type}", json.dumps(scopes))
        body: dict[str, Any] = {"error": None, "error_message": None, "other_user_email": None}
        row = self._state.connection("shared", integration_type)
        if row is not None:
            found = {"redirect_url": None, "connection_id": row["id"], "already_authorized": True}
            return json_reply(200, body | found)
        state = self._state.start_flow(integration_type, "", _LINK_LIFETIME)
        link = f"{base}/provider/consent?state={state}"
        started = {"redirect_url": link, "connection_id": secrets.token_hex(12), "already_authorized": False}
        return json_reply(200, body | started)

    def _status(self, integration_type: str) -> Reply:
        if self._state.connection("shared", integration_type) is not None:
            return json_reply(200, {"status": "ACTIVE"})
        under_way = self._state.one(
            "SELECT 1 FROM flows WHERE connector = ? AND owner = '' AND expires > ?", integration_type, time.time()
        )
        return json_reply(200, {"status": "FAILED" if under_way is None else "PENDING"})

    def _remove(self, integration_type: str) -> Reply:
        if self._state.connector("shared", integration_type) is None:
            return detail(404, "Connector not found")
        self._state.disconnect("shared", integration_type)
        self._state.one("DELETE FROM connectors WHERE kind = 'shared' AND id = ?", integration_type)
        return json_reply(200, {"status": "removed", "integration_type": integration_type})


def _available(integration_type: str, name: str) -> dict[str, Any]:
    return {
        "integration_type": integration_type, "display_name": name, "description": f"{name}, emulated",
        "connection_config_fields": [],
    }  # fmt: skip
