"""What a type checker must see in users' code. Checked by four type checkers, never run."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, assert_type

import requests
from azure.core.credentials import AccessToken, TokenCredential
from azure.core.credentials_async import AsyncTokenCredential
from google.auth.credentials import Credentials
from starlette.applications import Starlette
from starlette.responses import JSONResponse

from base44_web import ApiResponse, AppUser, AsyncBase44, Base44, Connection, Refusal, Secret, Settings
from base44_web.bridges import azure_credential, google_credentials, requests_auth
from base44_web.django import HttpRequest
from base44_web.django import get_base44 as django_base44
from base44_web.fastapi import Base44Client, SyncBase44Client
from base44_web.flask import current_base44
from base44_web.flask import request as flask_request
from base44_web.litestar import Base44Client as LitestarClient
from base44_web.litestar import Request as LitestarRequest
from base44_web.litestar import WebSocket as LitestarWebSocket
from base44_web.litestar import get_base44 as litestar_base44
from base44_web.quart import current_base44 as quart_base44
from base44_web.quart import request as quart_request
from base44_web.quart import websocket as quart_websocket
from base44_web.starlette import Base44Middleware, Request, WebSocket, app_user_required, get_base44


async def starlette(request: Request, websocket: WebSocket) -> None:
    assert_type(request.base44, AsyncBase44)
    assert_type(websocket.base44, AsyncBase44)
    assert_type(get_base44(request), AsyncBase44)
    connection = await request.base44.as_service_role.connectors.get_connection("slack")
    assert_type(connection, Connection)
    assert_type(connection.access_token, str)
    assert_type(connection.connection_config, Mapping[str, str] | None)
    assert_type(await request.base44.user(), AppUser | None)
    assert_type(request.base44.app_user.email, str | None)
    assert_type(request.base44.token, Secret | None)
    assert_type(await request.base44.connectors.connect_app_user("calendar"), str)
    assert_type(request.base44.sync, Base44)


async def fastapi(base44: Base44Client, blocking: SyncBase44Client) -> None:
    assert_type(base44, AsyncBase44)
    assert_type(blocking, Base44)


def own_format(refusal: Refusal) -> JSONResponse | None:
    assert_type(refusal.code, str)
    return None if refusal.navigation else JSONResponse({"error": refusal.title}, refusal.status)


Base44Middleware(Starlette(), on_refusal=own_format)


@app_user_required
async def guarded(request: Request) -> JSONResponse:
    return JSONResponse(request.base44.app_user.id)


still_itself: Callable[[Request], Coroutine[Any, Any, JSONResponse]] = guarded


def django(request: HttpRequest) -> None:
    assert_type(request.base44, Base44)
    assert_type(django_base44(request), Base44)
    assert_type(request.base44.aio, AsyncBase44)
    response = request.base44.as_service_role.connectors.call_api("x", path="/2/tweets", method="POST", body={})
    assert_type(response, ApiResponse)


def flask() -> None:
    assert_type(flask_request.base44, Base44)
    assert_type(current_base44, Base44)
    assert_type(flask_request.base44.connectors.disconnect_app_user("calendar"), None)


async def quart() -> None:
    assert_type(quart_request.base44, AsyncBase44)
    assert_type(quart_websocket.base44, AsyncBase44)
    assert_type(quart_base44, AsyncBase44)
    assert_type(await quart_base44.user(), AppUser | None)


async def litestar(base44: LitestarClient, request: LitestarRequest, socket: LitestarWebSocket) -> None:
    assert_type(base44, AsyncBase44)
    assert_type(request.base44, AsyncBase44)
    assert_type(socket.base44, AsyncBase44)
    assert_type(litestar_base44(request), AsyncBase44)


def settings() -> None:
    given = Settings(app_id="a", service_token="t", app_user_connectors={"calendar": "69e6"}, timeout=5)
    assert_type(given.app_id, str | None)
    assert_type(given.service_token, Secret | None)
    assert_type(given.timeout, float)
    assert_type(given.allowed_origins, tuple[str, ...])


def bridges(connection: Connection) -> None:
    session = requests.Session()
    session.auth = requests_auth(connection, hosts=["api.dropboxapi.com"])
    assert_type(google_credentials(connection), Credentials)
    blocking: TokenCredential = azure_credential(connection)
    awaiting: AsyncTokenCredential = azure_credential(connection, awaiting=True)
    assert_type(blocking.get_token("scope"), AccessToken)
    print(awaiting)
