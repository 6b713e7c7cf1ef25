"""Starlette: a calendar that each app user connects, and the app's shared Slack.

pip install "base44-web[starlette]" uvicorn
BASE44_APP_ID=… BASE44_SERVICE_TOKEN=… BASE44_APP_USER_CONNECTORS=calendar=69e6… uvicorn app:app
"""

import logging
import os
from pathlib import Path

import httpx2
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request as AnyRequest
from starlette.responses import FileResponse, JSONResponse
from starlette.routing import Route

from base44_web import AuthenticationError, NotConnectedError, Settings
from base44_web.errors import Base44Error
from base44_web.starlette import Base44Middleware, Request

GOOGLE = os.environ.get("GOOGLE_API_URL", "https://www.googleapis.com")
SLACK = os.environ.get("SLACK_API_URL", "https://slack.com")
PAGE = Path(__file__).parent.parent / "page" / "index.html"
logger = logging.getLogger(__name__)

settings = Settings()  # from BASE44_*


async def explain(request: AnyRequest, error: Exception) -> JSONResponse:
    if isinstance(error, AuthenticationError) and error.visitor:  # and not our service token
        return JSONResponse({"code": "sign_in", "message": "Please sign in."}, 401)
    if isinstance(error, NotConnectedError):
        return JSONResponse({"code": "not_connected", "message": "Your calendar is not connected yet."}, 403)
    logger.error("Base44: %s", error)
    return JSONResponse({"code": "unavailable", "message": "That did not work. Please try again in a minute."}, 503)


async def page(request: Request) -> FileResponse:
    return FileResponse(PAGE)


async def which_app(request: Request) -> JSONResponse:
    return JSONResponse({"app_id": settings.app_id, "server_url": settings.app_url or settings.server_url})


async def slack(request: Request) -> JSONResponse:
    connection = await request.base44.as_service_role.connectors.get_connection("slack")
    async with httpx2.AsyncClient(timeout=10) as http:
        answer = await http.get(f"{SLACK}/api/auth.test", auth=connection)
    return JSONResponse({"team": answer.raise_for_status().json()["team"]})


async def calendar(request: Request) -> JSONResponse:
    connection = await request.base44.as_service_role.connectors.get_current_app_user_connection("calendar")
    async with httpx2.AsyncClient(timeout=10) as http:
        answer = await http.get(f"{GOOGLE}/calendar/v3/calendars/primary/events", auth=connection)
    found = answer.raise_for_status().json()
    return JSONResponse({"user": found["summary"], "events": [event["summary"] for event in found["items"]]})


async def connect(request: Request) -> JSONResponse:
    # The URL is a credential: for this user's browser, once.
    url = await request.base44.connectors.connect_app_user("calendar")
    return JSONResponse({"redirect_url": url}, headers={"Cache-Control": "no-store"})


async def disconnect(request: Request) -> JSONResponse:
    await request.base44.connectors.disconnect_app_user("calendar")
    return JSONResponse({"connected": False})


app = Starlette(
    routes=[
        Route("/", page),
        Route("/app.json", which_app),
        Route("/slack", slack),
        Route("/calendar", calendar),
        Route("/calendar/connect", connect, methods=["POST"]),
        Route("/calendar/disconnect", disconnect, methods=["POST"]),
    ],
    middleware=[Middleware(Base44Middleware, settings=settings)],
    exception_handlers={Base44Error: explain},
)
