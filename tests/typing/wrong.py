"""What a type checker must refuse: each line that is marked, and no other."""

from __future__ import annotations

from base44_web import Settings
from base44_web.django import HttpRequest
from base44_web.flask import request as flask_request
from base44_web.starlette import Request, app_user_required


async def starlette(request: Request) -> None:
    length: int = request.base44.token  # wrong
    connection = await request.base44.as_service_role.connectors.get_connection(7)  # wrong
    connection.access_token = "x"  # wrong
    request.base44.connectors.connect("calendar")  # wrong
    await request.base44.connectors.connect_app_user()  # wrong
    await request.base44.app_user()  # wrong
    print(length)


@app_user_required()  # wrong
async def guarded(request: Request) -> None: ...


def django(request: HttpRequest) -> None:
    request.base44.as_service_role.connectors.call_api("x", path="/", method="TRACE")  # wrong
    request.base44.as_service_role.connectors.call_api("x")  # wrong


def flask() -> None:
    _ = flask_request.base44.user().email  # wrong
    print(flask_request.base44.sync)  # wrong


def settings() -> None:
    Settings(app="a")  # wrong
    given = Settings(app_id="a")
    print(given.app_id.upper())  # wrong
    print(given.no_such_field)  # wrong
