"""Starlette: a single-page app that this server serves, with a calendar that each app user connects.

The page sends the token that the Base44 client keeps in localStorage. Where the calendar is not connected, it goes to
the connect page, which does the same.

pip install "base44-web[starlette]" uvicorn
BASE44_APP_ID=… BASE44_SERVICE_TOKEN=… BASE44_APP_USER_CONNECTORS=calendar=69e6… uvicorn app:app
"""

import os
import sys
from pathlib import Path

import httpx2
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request as StarletteRequest
from starlette.responses import FileResponse, HTMLResponse, JSONResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from base44_web import NotConnectedError, Settings
from base44_web.starlette import Base44Middleware, Request, app_user_connected, app_user_required, connect_routes

sys.path.append(str(Path(__file__).resolve().parent.parent / "site"))  # what the examples share
from showcase import SITE, ServerTiming, Showcase

EVENTS = os.environ.get("GOOGLE_API_URL", "https://www.googleapis.com") + "/calendar/v3/calendars/primary/events"
SLACK = os.environ.get("SLACK_API_URL", "https://slack.com") + "/api/auth.test"

settings = Settings(app_name="Daybook", connector_types={"calendar": "googlecalendar"})  # the rest from BASE44_*
showcase = Showcase("Starlette", __file__)


async def page(request: Request) -> FileResponse:
    return FileResponse(SITE.parent / "page" / "index.html")


async def about(request: Request) -> JSONResponse:
    platform = settings.app_url or settings.server_url
    return JSONResponse({"app_id": settings.app_id, "server_url": platform, "framework": showcase.framework})


@app_user_required
async def me(request: Request) -> JSONResponse:
    user = await request.base44.user()
    return JSONResponse({"name": user and (user.full_name or user.email)})


async def slack(request: Request) -> JSONResponse:
    try:
        connection = await request.base44.as_service_role.connectors.get_connection("slack")
    except NotConnectedError:
        return JSONResponse({"team": None})
    async with httpx2.AsyncClient(auth=connection.auth(), timeout=10) as http:
        answer = (await http.get(SLACK)).raise_for_status()
    return JSONResponse({"team": answer.json().get("team")})


@app_user_connected("calendar")
async def calendar(request: Request) -> JSONResponse:
    connection = request.base44.connection("calendar")
    async with httpx2.AsyncClient(auth=connection.auth(), timeout=10) as http:
        answer = (await http.get(EVENTS)).raise_for_status()
    found = answer.json()
    events = [(each["start"].get("dateTime", "")[11:16], each.get("summary", "")) for each in found["items"]]
    return JSONResponse({"owner": found["summary"], "events": events})


async def no_answer(request: StarletteRequest, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "The service does not answer as it should. Please try again in a minute."}, 502)


async def source(request: Request) -> HTMLResponse:
    return HTMLResponse(showcase.source_page())


app = Starlette(
    routes=[
        Route("/", page),
        Route("/app.json", about),
        Route("/me", me),
        Route("/slack", slack),
        Route("/calendar", calendar),
        Route("/source", source),
        Mount("/assets", StaticFiles(directory=SITE / "assets")),
        Mount("/base44", routes=connect_routes()),
    ],
    middleware=[
        Middleware(ServerTiming),
        Middleware(Base44Middleware, settings=settings, transport=showcase.transport),
    ],
    exception_handlers={httpx2.HTTPError: no_answer},
)
