"""A small site for the connect page: `/` is a page of this origin, for scripts of a test; `/guarded` needs a connection."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Mount, Route

from base44_web.starlette import Base44Middleware, app_user_connected, connect_routes, get_base44


async def home(request: Request) -> HTMLResponse:
    return HTMLResponse("<!doctype html><title>Home</title><button>Go</button><p></p>")


@app_user_connected("calendar")
async def guarded(request: Request) -> PlainTextResponse:
    return PlainTextResponse(get_base44(request).connection("calendar").access_token)


app = Starlette(
    routes=[
        Route("/", home), Route("/sign-in", home), Route("/after", home), Route("/guarded", guarded),
        Mount("/base44", routes=connect_routes()),
    ],
    middleware=[Middleware(Base44Middleware)],
)  # fmt: skip
