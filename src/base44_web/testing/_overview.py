"""The emulator's own page: what it is, and what it has."""

from __future__ import annotations

from ._pages import overview_page
from ._replies import HTML, Reply, detail
from ._state import State

_KINDS = {
    "app_user": "each app user connects for themselves",
    "shared": "shared by the app",
    "workspace": "shared by the workspace",
    "metered": "metered, for call_api",
}
_PROVIDER = (
    "GET /provider/calendar/v3/calendars/primary/events",
    "GET /provider/slack/api/auth.test",
    "GET /provider/consent (where people allow a connection)",
)


def own_page(state: State, app_id: str, path: list[str]) -> Reply:
    """`/`, where nothing else is hosted. No credential is on it: any page of this machine can read it."""
    if path == ["favicon.ico"]:  # browsers ask for it whatever a page says
        return 204, {}, b""
    if path != [""]:
        return detail(404, "Not Found")
    users = [(record["full_name"] or record["email"], record["email"]) for record in state.records()]
    rows = state.all("SELECT kind, id, integration_type FROM connectors ORDER BY kind, id")
    connectors = [(_KINDS[row["kind"]], row["id"], row["integration_type"]) for row in rows]
    return 200, HTML, overview_page(app_id, users, connectors, _PROVIDER)
