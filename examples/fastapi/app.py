"""FastAPI: the API of a single-page app on another origin (`APP_ORIGIN`, say its *.base44.app).

The page sends the app user's token, and imports `connect.js` from here; CORS is outside of the Base44 middleware.

pip install "base44-web[fastapi]" uvicorn
BASE44_APP_ID=… BASE44_SERVICE_TOKEN=… BASE44_APP_USER_CONNECTORS=calendar=69e6… APP_ORIGIN=https://… uvicorn app:app
"""

import os
from collections.abc import AsyncIterator
from typing import Annotated

import httpx2
from fastapi import Depends, FastAPI
from fastapi.responses import RedirectResponse
from starlette.middleware.cors import CORSMiddleware

from base44_web import Connection, Settings
from base44_web.fastapi import AppUserConnection, Base44Client, Base44Middleware, connect_router, guard_responses

GOOGLE = os.environ.get("GOOGLE_API_URL", "https://www.googleapis.com")
SLACK = os.environ.get("SLACK_API_URL", "https://slack.com")
APP_ORIGIN = os.environ.get("APP_ORIGIN", "http://localhost:5173")

settings = Settings(connector_types={"calendar": "googlecalendar"})  # the rest from BASE44_*
app = FastAPI(title="My calendar")
app.add_middleware(Base44Middleware, settings=settings)
app.add_middleware(CORSMiddleware, allow_origins=[APP_ORIGIN], allow_methods=["*"], allow_headers=["Authorization"])
app.include_router(connect_router(), prefix="/base44")


async def provider() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(timeout=10) as client:
        yield client


Provider = Annotated[httpx2.AsyncClient, Depends(provider)]
Calendar = Annotated[Connection, AppUserConnection("calendar")]


@app.get("/", include_in_schema=False)
async def page() -> RedirectResponse:
    return RedirectResponse(APP_ORIGIN)


@app.get("/app.json")
async def which_app() -> dict[str, str | None]:
    return {"app_id": settings.app_id, "server_url": settings.app_url or settings.server_url}


@app.get("/slack")
async def slack(base44: Base44Client, http: Provider) -> dict[str, str]:
    connection = await base44.as_service_role.connectors.get_connection("slack")
    answer = await http.get(f"{SLACK}/api/auth.test", auth=connection.auth())
    return {"team": answer.raise_for_status().json()["team"]}


@app.get("/calendar", responses=guard_responses)
async def calendar(connection: Calendar, http: Provider) -> dict[str, str | list[str]]:
    answer = await http.get(f"{GOOGLE}/calendar/v3/calendars/primary/events", auth=connection.auth())
    found = answer.raise_for_status().json()
    return {"user": found["summary"], "events": [event["summary"] for event in found["items"]]}
