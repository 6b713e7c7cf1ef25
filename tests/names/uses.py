"""What users write, in every framework. Checked by four type checkers, never run.

A line marked `# wrong` is an error once `base44_web_types.py` was generated for the connectors slack and snowflake, and
the app user connector "calendar"; no other line is. One marked `# always wrong` is an error without it, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, assert_type

from fastapi import FastAPI

from base44_web import (
    AppUserConnector,
    AsyncBase44,
    Base44,
    Connection,
    ConnectionWith,
    ConnectorID,
    IntegrationType,
)
from base44_web.django import HttpRequest
from base44_web.django import app_user_connected as django_connected
from base44_web.fastapi import AppUserConnection, Base44Client, SyncBase44Client
from base44_web.flask import app_user_connected as flask_connected
from base44_web.flask import current_base44
from base44_web.flask import request as flask_request
from base44_web.starlette import Request, WebSocket
from base44_web.starlette import app_user_connected as starlette_connected

if TYPE_CHECKING:
    from base44_web_types import IntegrationType as ImportedType

app = FastAPI()


def takes_any(connection: Connection) -> str:
    return connection.access_token


def takes_type(integration_type: IntegrationType) -> None: ...


def takes_name(connector: AppUserConnector) -> None: ...


# --- Starlette


@starlette_connected("calendar")
async def starlette(request: Request, websocket: WebSocket) -> None:
    shared = request.base44.as_service_role.connectors
    assert_type(await shared.get_connection("slack"), Connection)
    await shared.get_connection("slack", fresh=True)
    await shared.get_connection("slak")  # wrong
    await shared.get_connection(7)  # always wrong
    await shared.call_api("slack", path="/")
    await shared.call_api("slak", path="/")  # wrong
    assert_type(request.base44.connection("calendar"), Connection)
    request.base44.connection("calender")  # wrong
    await request.base44.connectors.connect_app_user("calendar")
    await request.base44.connectors.connect_app_user(ConnectorID("69e6"))
    await request.base44.connectors.connect_app_user("calender")  # wrong
    await request.base44.connectors.disconnect_app_user("calender")  # wrong
    await websocket.base44.as_service_role.connectors.get_current_app_user_connection("calendar")
    await websocket.base44.as_service_role.connectors.get_current_app_user_connection("calender")  # wrong
    await shared.get_workspace_connection("any ID at all")


@starlette_connected("calender")  # wrong
async def misspelt_starlette(request: Request) -> None: ...


@starlette_connected("calendar", ConnectorID("69e6"), fresh=True)
async def several(request: Request) -> None: ...


# --- FastAPI


@app.get("/calendar")
async def fastapi(
    base44: Base44Client,
    blocking: SyncBase44Client,
    connection: Annotated[Connection, AppUserConnection("calendar")],
    other: Annotated[Connection, AppUserConnection(ConnectorID("69e6"))],
) -> None:
    await base44.as_service_role.connectors.get_connection("snowflak")  # wrong
    blocking.as_service_role.connectors.get_connection("snowflak")  # wrong
    takes_any(connection)
    takes_any(await base44.as_service_role.connectors.get_connection("snowflake"))
    takes_any(blocking.as_service_role.connectors.get_connection("snowflake"))
    takes_any(other)


AppUserConnection("calender")  # wrong


# --- Django


@django_connected("calendar")
def django(request: HttpRequest) -> None:
    shared = request.base44.as_service_role.connectors
    assert_type(shared.get_connection("slack"), Connection)
    shared.get_connection("slak")  # wrong
    shared.get_connection("snowflake", True)  # always wrong
    shared.call_api("slak", path="/")  # wrong
    request.base44.connection("calender")  # wrong
    request.base44.connectors.connect_app_user("calender")  # wrong


async def async_django(request: HttpRequest) -> None:
    await request.base44.aio.as_service_role.connectors.get_connection("slak")  # wrong


@django_connected("calender")  # wrong
async def misspelt_django(request: HttpRequest) -> None: ...


# --- Flask


@flask_connected("calendar")
def flask() -> None:
    flask_request.base44.as_service_role.connectors.get_connection("slack")
    flask_request.base44.as_service_role.connectors.get_connection("slak")  # wrong
    current_base44.as_service_role.connectors.call_api("slak", path="/")  # wrong
    current_base44.connection("calender")  # wrong
    flask_request.base44.connectors.disconnect_app_user("calender")  # wrong


@flask_connected("calendar", "calender")  # wrong
def misspelt_flask() -> None: ...


# --- no framework


async def awaiting(base44: AsyncBase44) -> None:
    await base44.as_service_role.connectors.get_current_app_user_connection("calender")  # wrong
    await base44.sync.as_service_role.connectors.get_connection("slack")  # always wrong


def blocking(base44: Base44, wanted: IntegrationType, imported: ImportedType, name: AppUserConnector) -> None:
    takes_any(base44.as_service_role.connectors.get_connection(wanted))
    takes_any(base44.as_service_role.connectors.get_connection(imported))
    base44.connectors.connect_app_user(name)
    takes_type("slack")
    takes_type("slak")  # wrong
    takes_name("calendar")
    takes_name("calender")  # wrong


def configurations(base44: Base44) -> None:
    slack = base44.as_service_role.connectors.get_connection("slack")
    slack.connection_config["team"]  # always wrong
    if slack.connection_config is not None:
        assert_type(slack.connection_config["team"], str)
    snowflake = base44.as_service_role.connectors.get_connection("snowflake")
    if snowflake.connection_config is not None:
        assert_type(snowflake.connection_config["subdomain"], str)
        snowflake.connection_config["subdomian"]  # wrong
    renewed = base44.renew(snowflake)
    if renewed.connection_config is not None:
        renewed.connection_config["subdomian"]  # wrong


async def awaited_configurations(base44: AsyncBase44) -> None:
    snowflake = await base44.as_service_role.connectors.get_connection("snowflake")
    if snowflake.connection_config is not None:
        snowflake.connection_config["subdomian"]  # wrong
    takes_any(await base44.renew(snowflake))


def configured(connection: ConnectionWith[dict[str, str]]) -> str:
    return takes_any(connection) + connection.connection_config["anything"]
