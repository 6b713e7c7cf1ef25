"""Flask: a server-rendered site with a calendar that each app user connects, and the app's shared Slack.

The user signs in on /sign-in, whose script gives the token to the session view; from then on a sealed cookie says who
they are. No page needs scripts after that.

pip install "base44-web[flask,session]" gunicorn
BASE44_APP_ID=… BASE44_SERVICE_TOKEN=… BASE44_APP_USER_CONNECTORS=calendar=69e6… SECRET_KEY=… gunicorn app:app
"""

import os
import secrets
from pathlib import Path

import httpx2
from flask import Flask, render_template, url_for

from base44_web import Settings
from base44_web.flask import Base44Extension, app_user_connected, request

GOOGLE = os.environ.get("GOOGLE_API_URL", "https://www.googleapis.com")
SLACK = os.environ.get("SLACK_API_URL", "https://slack.com")

app = Flask(__name__, template_folder=str(Path(__file__).parent.parent.resolve() / "site"))
# It seals the session; give one, or each worker has its own, and every start signs everybody out.
app.secret_key = os.environ.get("SECRET_KEY") or secrets.token_urlsafe(50)
settings = Settings(
    token_sources=["header", "session"], sign_in_url="/sign-in", connector_types={"calendar": "googlecalendar"}
)  # the rest from BASE44_*
Base44Extension(app, settings=settings)


@app.get("/")
def home() -> str:
    connection = request.base44.as_service_role.connectors.get_connection("slack")
    answer = httpx2.get(f"{SLACK}/api/auth.test", auth=connection.auth(), timeout=10)
    return render_template("home.html", team=answer.raise_for_status().json()["team"])


@app.get("/sign-in")
def sign_in() -> str:
    server = settings.app_url or settings.server_url
    return render_template("sign-in.html", app_id=settings.app_id, server_url=server, script=url_for("base44.script"))


@app.get("/calendar")
@app_user_connected("calendar")
def calendar() -> str:
    connection = request.base44.connection("calendar")
    answer = httpx2.get(f"{GOOGLE}/calendar/v3/calendars/primary/events", auth=connection.auth(), timeout=10)
    found = answer.raise_for_status().json()
    return render_template(
        "calendar.html",
        user=found["summary"],
        events=[event["summary"] for event in found["items"]],
        manage=url_for("base44.connect", connector="calendar", next="/calendar"),
        sign_out=url_for("base44.logout"),
    )
