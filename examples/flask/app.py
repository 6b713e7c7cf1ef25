"""Flask: a calendar that each app user connects, and the app's shared Slack.

pip install "base44-web[flask]" gunicorn
BASE44_APP_ID=… BASE44_SERVICE_TOKEN=… BASE44_APP_USER_CONNECTORS=calendar=69e6… gunicorn app:app
"""

import logging
import os
from pathlib import Path
from typing import Any

import httpx2
from flask import Flask, Response, jsonify, send_file

from base44_web import AuthenticationError, Base44Error, NotConnectedError, Settings
from base44_web.flask import Base44Extension, request

GOOGLE = os.environ.get("GOOGLE_API_URL", "https://www.googleapis.com")
SLACK = os.environ.get("SLACK_API_URL", "https://slack.com")
PAGE = Path(__file__).parent.parent.resolve() / "page" / "index.html"
logger = logging.getLogger(__name__)

settings = Settings()  # from BASE44_*
app = Flask(__name__)
Base44Extension(app, settings=settings)


@app.errorhandler(Base44Error)
def explain(error: Base44Error) -> tuple[dict[str, str], int]:
    if isinstance(error, AuthenticationError) and error.visitor:  # and not our service token
        return {"code": "sign_in", "message": "Please sign in."}, 401
    if isinstance(error, NotConnectedError):
        return {"code": "not_connected", "message": "Your calendar is not connected yet."}, 403
    logger.error("Base44: %s", error)
    return {"code": "unavailable", "message": "That did not work. Please try again in a minute."}, 503


@app.get("/")
def page() -> Response:
    return send_file(PAGE)


@app.get("/app.json")
def which_app() -> dict[str, str | None]:
    return {"app_id": settings.app_id, "server_url": settings.app_url or settings.server_url}


@app.get("/slack")
def slack() -> dict[str, str]:
    connection = request.base44.as_service_role.connectors.get_connection("slack")
    answer = httpx2.get(f"{SLACK}/api/auth.test", auth=connection, timeout=10)
    return {"team": answer.raise_for_status().json()["team"]}


@app.get("/calendar")
def calendar() -> dict[str, Any]:
    connection = request.base44.as_service_role.connectors.get_current_app_user_connection("calendar")
    answer = httpx2.get(f"{GOOGLE}/calendar/v3/calendars/primary/events", auth=connection, timeout=10)
    found = answer.raise_for_status().json()
    return {"user": found["summary"], "events": [event["summary"] for event in found["items"]]}


@app.post("/calendar/connect")
def connect() -> Response:
    # The URL is a credential: for this user's browser, once.
    response = jsonify(redirect_url=request.base44.connectors.connect_app_user("calendar"))
    response.headers["Cache-Control"] = "no-store"
    return response


@app.post("/calendar/disconnect")
def disconnect() -> dict[str, bool]:
    request.base44.connectors.disconnect_app_user("calendar")
    return {"connected": False}
