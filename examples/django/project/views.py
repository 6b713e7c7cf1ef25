"""The site's views; one is async, the others could be too."""

import logging

import httpx2
from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from base44_web import AppUser, Base44Error, Settings
from base44_web.django import HttpRequest, app_user_connected

from .middleware import showcase

logger = logging.getLogger(__name__)


def page(request: HttpRequest, view: str, user: AppUser | None, status: int = 200, **values: object) -> HttpResponse:
    """A page in the frame that all have: it says who is signed in, and what was asked of the platform."""
    frame = {"user": user, "sign_out": reverse("base44:logout")}
    frame |= showcase.values(view, request.path, Settings().server_url)
    return render(request, f"{view}.html", {**frame, **values}, status=status)


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    return page(request, "home", request.base44.user(), service="Slack", team=slack_team(request))


def slack_team(request: HttpRequest) -> str | None:
    """The name of the shared workspace; the page is good without it."""
    try:
        connection = request.base44.as_service_role.connectors.get_connection("slack")
        answer = httpx2.get(settings.SLACK, auth=connection.auth(), timeout=10).raise_for_status()
    except (Base44Error, httpx2.HTTPError) as error:
        logger.warning("No Slack: %s", error)
        return None
    team: str | None = answer.json().get("team")
    return team


@require_GET
@app_user_connected("calendar")
async def calendar(request: HttpRequest) -> HttpResponse:
    user = await request.base44.aio.user()
    connection = request.base44.connection("calendar")
    try:
        async with httpx2.AsyncClient(auth=connection.auth(), timeout=10) as http:
            answer = (await http.get(settings.EVENTS)).raise_for_status()
    except httpx2.HTTPError as error:
        logger.warning("Google Calendar does not answer as it should: %s", error)
        return page(request, "no-answer", user, status=502, service="Google Calendar")
    found = answer.json()
    return page(
        request,
        "calendar",
        user,
        service="Google Calendar",
        owner=found["summary"],
        events=[(each["start"].get("dateTime", "")[11:16], each.get("summary", "")) for each in found["items"]],
        manage=reverse("base44:connect", kwargs={"connector": "calendar"}) + "?next=/calendar",
    )


@require_GET
def sign_in(request: HttpRequest) -> HttpResponse:
    app = Settings()
    platform = app.app_url or app.server_url
    return page(request, "sign-in", None, app_id=app.app_id, server_url=platform, script=reverse("base44:script"))


@require_GET
def source(request: HttpRequest) -> HttpResponse:
    return HttpResponse(showcase.source_page())
