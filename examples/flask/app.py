"""Flask: a server-rendered site with a calendar that each app user connects, and the app's shared Slack.

The user signs in on /sign-in, whose script gives the token to the session view; from then on a sealed cookie says who
they are. No page needs scripts after that.

pip install "base44-web[flask,session]" gunicorn
BASE44_APP_ID=… BASE44_SERVICE_TOKEN=… BASE44_APP_USER_CONNECTORS=calendar=69e6… SECRET_KEY=… gunicorn app:app
"""

import os
import secrets
import sys
from pathlib import Path

import httpx2
from flask import Flask, render_template, url_for

from base44_web import Base44Error, Settings
from base44_web.flask import Base44Extension, app_user_connected, request

sys.path.append(str(Path(__file__).resolve().parent.parent / "site"))  # what the examples share
from showcase import SITE, Showcase

EVENTS = os.environ.get("GOOGLE_API_URL", "https://www.googleapis.com") + "/calendar/v3/calendars/primary/events"
SLACK = os.environ.get("SLACK_API_URL", "https://slack.com") + "/api/auth.test"

app = Flask(__name__, template_folder=str(SITE), static_folder=str(SITE / "assets"), static_url_path="/assets")
# It seals the session; give one, or each worker has its own, and every start signs everybody out.
app.secret_key = os.environ.get("SECRET_KEY") or secrets.token_urlsafe(50)
settings = Settings(
    app_name="Daybook",
    token_sources=["header", "session"],
    sign_in_url="/sign-in",
    connector_types={"calendar": "googlecalendar"},
)  # the rest from BASE44_*
showcase = Showcase("Flask", __file__)
Base44Extension(app, settings=settings, transport=showcase.transport)
app.before_request(showcase.begin)


def page(view: str, **values: object) -> str:
    """A page in the frame that all have: it says who is signed in, and what was asked of the platform."""
    frame = {"user": request.base44.user(), "sign_out": url_for("base44.logout")}
    shown = showcase.values(view, request.path, settings.server_url)
    return render_template(f"{view}.html", **frame, **shown, **values)


@app.errorhandler(httpx2.HTTPError)
def no_answer(error: httpx2.HTTPError) -> tuple[str, int]:
    app.logger.warning("A service does not answer as it should: %s", error)
    return page("no-answer", service="The service"), 502


@app.get("/")
def home() -> str:
    return page("home", service="Slack", team=slack_team())


def slack_team() -> str | None:
    """The name of the shared workspace; the page is good without it."""
    try:
        connection = request.base44.as_service_role.connectors.get_connection("slack")
        answer = httpx2.get(SLACK, auth=connection.auth(), timeout=10).raise_for_status()
    except (Base44Error, httpx2.HTTPError) as error:
        app.logger.warning("No Slack: %s", error)
        return None
    team: str | None = answer.json().get("team")
    return team


@app.get("/calendar")
@app_user_connected("calendar")
def calendar() -> str:
    connection = request.base44.connection("calendar")
    answer = httpx2.get(EVENTS, auth=connection.auth(), timeout=10).raise_for_status()
    found = answer.json()
    return page(
        "calendar",
        service="Google Calendar",
        owner=found["summary"],
        events=[(each["start"].get("dateTime", "")[11:16], each.get("summary", "")) for each in found["items"]],
        manage=url_for("base44.connect", connector="calendar", next="/calendar"),
    )


@app.get("/sign-in")
def sign_in() -> str:
    platform = settings.app_url or settings.server_url
    return page("sign-in", app_id=settings.app_id, server_url=platform, script=url_for("base44.script"))


@app.get("/source")
def source() -> str:
    return showcase.source_page()
