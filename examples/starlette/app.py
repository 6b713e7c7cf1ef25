"""Starlette: a single-page app that this server serves, with a calendar that each app user connects.

The page sends the token that the Base44 client keeps in localStorage. Where the calendar is not connected, it goes to
the connect page, which does the same.

pip install "base44-web[starlette]" uvicorn
BASE44_APP_ID=… BASE44_SERVICE_TOKEN=… BASE44_APP_USER_CONNECTORS=calendar=69e6… uvicorn app:app
"""

import os
from pathlib import Path

import httpx2
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import FileResponse, JSONResponse
from starlette.routing import Mount, Route

from base44_web import Settings
from base44_web.starlette import Base44Middleware, Request, app_user_connected, connect_routes

GOOGLE = os.environ.get("GOOGLE_API_URL", "https://www.googleapis.com")
SLACK = os.environ.get("SLACK_API_URL", "https://slack.com")
PAGE = Path(__file__).parent.parent / "page" / "index.html"

settings = Settings(connector_types={"calendar": "googlecalendar"})  # the rest from BASE44_*


async def page(request: Request) -> FileResponse:
    return FileResponse(PAGE)


async def which_app(request: Request) -> JSONResponse:
    return JSONResponse({"app_id": settings.app_id, "server_url": settings.app_url or settings.server_url})


async def slack(request: Request) -> JSONResponse:
    connection = await request.base44.as_service_role.connectors.get_connection("slack")
    async with httpx2.AsyncClient(timeout=10) as http:
        answer = await http.get(f"{SLACK}/api/auth.test", auth=connection.auth())
    return JSONResponse({"team": answer.raise_for_status().json()["team"]})


@app_user_connected("calendar")
async def calendar(request: Request) -> JSONResponse:
    connection = request.base44.connection("calendar")
    async with httpx2.AsyncClient(timeout=10) as http:
        answer = await http.get(f"{GOOGLE}/calendar/v3/calendars/primary/events", auth=connection.auth())
    found = answer.raise_for_status().json()
    return JSONResponse({"user": found["summary"], "events": [event["summary"] for event in found["items"]]})


app = Starlette(
    routes=[
        Route("/", page),
        Route("/app.json", which_app),
        Route("/slack", slack),
        Route("/calendar", calendar),
        Mount("/base44", routes=connect_routes()),
    ],
    middleware=[Middleware(Base44Middleware, settings=settings)],
)
