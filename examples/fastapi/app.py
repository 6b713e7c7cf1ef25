"""FastAPI: the API of a single-page app on another origin (`APP_ORIGIN`, say its *.base44.app).

The page sends the app user's token, and imports `connect.js` from here; CORS is outside of the Base44 middleware.

pip install "base44-web[fastapi]" uvicorn
BASE44_APP_ID=… BASE44_SERVICE_TOKEN=… BASE44_APP_USER_CONNECTORS=calendar=69e6… APP_ORIGIN=https://… uvicorn app:app
"""

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import httpx2
from fastapi import Depends, FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.middleware.cors import CORSMiddleware

from base44_web import AppUser, Connection, NotConnectedError, Settings
from base44_web.fastapi import (
    AppUserConnection,
    AppUserRequired,
    Base44Client,
    Base44Middleware,
    connect_router,
    guard_responses,
)

sys.path.append(str(Path(__file__).resolve().parent.parent / "site"))  # what the examples share
from showcase import ServerTiming, Showcase

EVENTS = os.environ.get("GOOGLE_API_URL", "https://www.googleapis.com") + "/calendar/v3/calendars/primary/events"
SLACK = os.environ.get("SLACK_API_URL", "https://slack.com") + "/api/auth.test"
APP_ORIGIN = os.environ.get("APP_ORIGIN", "http://localhost:5173")

settings = Settings(app_name="Daybook", connector_types={"calendar": "googlecalendar"})  # the rest from BASE44_*
showcase = Showcase("FastAPI", __file__)
app = FastAPI(title="Daybook")
app.add_middleware(Base44Middleware, settings=settings, transport=showcase.transport)
app.add_middleware(ServerTiming)
app.add_middleware(
    CORSMiddleware,
    allow_origins=[APP_ORIGIN],
    allow_methods=["*"],
    allow_headers=["Authorization"],
    expose_headers=["Server-Timing"],
)
app.include_router(connect_router(), prefix="/base44")


async def provider() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(timeout=10) as client:
        yield client


Provider = Annotated[httpx2.AsyncClient, Depends(provider)]
Calendar = Annotated[Connection, AppUserConnection("calendar")]
User = Annotated[AppUser, AppUserRequired()]


@app.get("/", include_in_schema=False)
async def page() -> RedirectResponse:
    return RedirectResponse(APP_ORIGIN)


@app.get("/app.json")
async def about() -> dict[str, str | None]:
    platform = settings.app_url or settings.server_url
    return {"app_id": settings.app_id, "server_url": platform, "framework": showcase.framework}


@app.get("/me", responses=guard_responses)
async def me(user: User) -> dict[str, str | None]:
    return {"name": user.full_name or user.email}


@app.get("/slack")
async def slack(base44: Base44Client, http: Provider) -> dict[str, str | None]:
    try:
        connection = await base44.as_service_role.connectors.get_connection("slack")
    except NotConnectedError:
        return {"team": None}
    answer = (await http.get(SLACK, auth=connection.auth())).raise_for_status()
    return {"team": answer.json().get("team")}


@app.get("/calendar", responses=guard_responses)
async def calendar(connection: Calendar, http: Provider) -> dict[str, str | list[tuple[str, str]]]:
    answer = (await http.get(EVENTS, auth=connection.auth())).raise_for_status()
    found = answer.json()
    events = [(each["start"].get("dateTime", "")[11:16], each.get("summary", "")) for each in found["items"]]
    return {"owner": found["summary"], "events": events}


@app.exception_handler(httpx2.HTTPError)
async def no_answer(request: Request, error: httpx2.HTTPError) -> JSONResponse:
    return JSONResponse({"detail": "The service does not answer as it should. Please try again in a minute."}, 502)


@app.get("/source", include_in_schema=False)
async def source() -> HTMLResponse:
    return HTMLResponse(showcase.source_page())
