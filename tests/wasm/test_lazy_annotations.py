"""Annotations that name what only a type checker imports (PEP 649): guards and the checks at the start let them be.

Here nothing is imported from `__future__`: with that, annotations are strings, which all other tests have.
"""

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated, Any

import pytest

if sys.version_info < (3, 14):
    pytest.skip("before Python 3.14 such a module cannot be imported", allow_module_level=True)
pytest.importorskip("fastapi")

import httpx2
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from base44_web import AppUser, Settings
from base44_web._core.guards.written import annotations_of, parameters_of
from base44_web.cli.doctor import _made
from base44_web.fastapi import AppUserConnection, AppUserRequired, Base44Client
from base44_web.fastapi import Base44Middleware as OfFastAPI
from base44_web.starlette import Base44Middleware, app_user_connected, app_user_required
from base44_web.testing import CALENDAR_ID, Emulator
from tests.checks import Headers

if TYPE_CHECKING:
    from nowhere import Answer, Receive, Request, Scope, Send


def get(app: Any, path: str, headers: Headers = ()) -> httpx2.Response:
    async def ask() -> httpx2.Response:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://test") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(ask())


@app_user_required
async def me(request: Request) -> Answer:
    return PlainTextResponse((await request.base44.user()).id)


@app_user_connected("calendar")
async def calendar(request: Request) -> Answer:
    return PlainTextResponse(request.base44.connection("calendar").access_token)


@app_user_required
class Both(HTTPEndpoint):
    async def get(self, request: Request) -> Answer:
        return PlainTextResponse("both")


class Mounted:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Answer:
        await PlainTextResponse("mounted")(scope, receive, send)


def test_starlette(settings: Settings, emulator: Emulator, ada: AppUser, adas: Headers) -> None:
    token = emulator.connect(ada, CALENDAR_ID)
    routes = [Route(f"/{view.__name__}", view) for view in (me, calendar, Both)]
    app = Starlette(
        routes=[*routes, Mount("/mounted", app=app_user_required(Mounted()))],
        middleware=[Middleware(Base44Middleware, settings=settings)],
    )
    for path, text in (("me", ada.id), ("calendar", token), ("Both", "both"), ("mounted/", "mounted")):
        assert get(app, f"/{path}").status_code == 401
        assert get(app, f"/{path}", adas).text == text


def make(settings: Settings) -> FastAPI:
    app = FastAPI()
    app.add_middleware(OfFastAPI, settings=settings)

    @app.get("/me")
    async def me(user: Annotated[Later, AppUserRequired()]) -> dict[str, str]:
        return {"id": user.id}

    @app.get("/calendar", response_model=None)
    async def calendar(base44: Base44Client, connection: Annotated[Any, AppUserConnection("calendar")]) -> Answer:
        return {"token": connection.access_token}

    return app


def test_fastapi(settings: Settings, emulator: Emulator, ada: AppUser, adas: Headers) -> None:
    token = emulator.connect(ada, CALENDAR_ID)
    app = make(settings)
    for path, answer in (("/me", {"id": ada.id}), ("/calendar", {"token": token})):
        assert get(app, path).status_code == 401
        assert get(app, path, adas).json() == answer


def test_a_guard_without_its_parentheses_is_found() -> None:
    async def me(user: Annotated[str, AppUserRequired] = "") -> Answer:
        raise AssertionError("nobody is let in")

    with pytest.raises(TypeError, match="parentheses"):
        FastAPI().get("/me", response_model=None)(me)


def test_what_is_asked_of_a_view() -> None:
    def view(request: Request, *, user: Annotated[Answer, "mark"]) -> int:
        raise AssertionError("only looked at")

    assert parameters_of(view) == ["request", "user"]
    found = annotations_of(view)
    assert list(found) == ["request", "user", "return"]
    assert found["return"] is int
    assert found["user"].__metadata__ == ("mark",)
    assert _made(view) is view


Later = AppUser
