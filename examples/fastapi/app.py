"""FastAPI: a calendar that each app user connects, and the app's shared Slack.

pip install "base44-web[fastapi]" uvicorn
BASE44_APP_ID=… BASE44_SERVICE_TOKEN=… BASE44_APP_USER_CONNECTORS=calendar=69e6… uvicorn app:app
"""

import logging
import os
from pathlib import Path
from typing import Annotated, Any

import httpx2
from fastapi import Depends, FastAPI
from fastapi.responses import FileResponse, JSONResponse

from base44_web import AuthenticationError, Base44Error, NotConnectedError, Settings
from base44_web.fastapi import Base44Client, Base44Middleware, Request

GOOGLE = os.environ.get("GOOGLE_API_URL", "https://www.googleapis.com")
SLACK = os.environ.get("SLACK_API_URL", "https://slack.com")
PAGE = Path(__file__).parent.parent / "page" / "index.html"
logger = logging.getLogger(__name__)

settings = Settings()  # from BASE44_*
app = FastAPI(title="My calendar")
app.add_middleware(Base44Middleware, settings=settings)


@app.exception_handler(Base44Error)
async def explain(request: Request, error: Base44Error) -> JSONResponse:
    if isinstance(error, AuthenticationError) and error.visitor:  # and not our service token
        return JSONResponse({"code": "sign_in", "message": "Please sign in."}, 401)
    if isinstance(error, NotConnectedError):
        return JSONResponse({"code": "not_connected", "message": "Your calendar is not connected yet."}, 403)
    logger.error("Base44: %s", error)
    return JSONResponse({"code": "unavailable", "message": "That did not work. Please try again in a minute."}, 503)


async def provider() -> Any:
    async with httpx2.AsyncClient(timeout=10) as client:
        yield client


Provider = Annotated[httpx2.AsyncClient, Depends(provider)]


@app.get("/", include_in_schema=False)
async def page() -> FileResponse:
    return FileResponse(PAGE)


@app.get("/app.json")
async def which_app() -> dict[str, str | None]:
    return {"app_id": settings.app_id, "server_url": settings.app_url or settings.server_url}


@app.get("/slack")
async def slack(base44: Base44Client, http: Provider) -> dict[str, str]:
    connection = await base44.as_service_role.connectors.get_connection("slack")
    answer = await http.get(f"{SLACK}/api/auth.test", auth=connection)
    return {"team": answer.raise_for_status().json()["team"]}


@app.get("/calendar")
async def calendar(base44: Base44Client, http: Provider) -> dict[str, Any]:
    connection = await base44.as_service_role.connectors.get_current_app_user_connection("calendar")
    answer = await http.get(f"{GOOGLE}/calendar/v3/calendars/primary/events", auth=connection)
    found = answer.raise_for_status().json()
    return {"user": found["summary"], "events": [event["summary"] for event in found["items"]]}


@app.post("/calendar/connect")
async def connect(base44: Base44Client) -> JSONResponse:
    # The URL is a credential: for this user's browser, once.
    url = await base44.connectors.connect_app_user("calendar")
    return JSONResponse({"redirect_url": url}, headers={"Cache-Control": "no-store"})


@app.post("/calendar/disconnect")
async def disconnect(base44: Base44Client) -> dict[str, bool]:
    await base44.connectors.disconnect_app_user("calendar")
    return {"connected": False}
