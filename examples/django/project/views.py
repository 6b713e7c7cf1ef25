"""The site's views; one is sync, the others could be too."""

import httpx2
from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from base44_web import Settings
from base44_web.django import HttpRequest, app_user_connected


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    connection = request.base44.as_service_role.connectors.get_connection("slack")
    answer = httpx2.get(f"{settings.SLACK_API_URL}/api/auth.test", auth=connection.auth(), timeout=10)
    return render(request, "home.html", {"team": answer.raise_for_status().json()["team"]})


@require_GET
def sign_in(request: HttpRequest) -> HttpResponse:
    app = Settings()
    context = {"app_id": app.app_id, "server_url": app.app_url or app.server_url, "script": reverse("base44:script")}
    return render(request, "sign-in.html", context)


@require_GET
@app_user_connected("calendar")
async def calendar(request: HttpRequest) -> HttpResponse:
    connection = request.base44.connection("calendar")
    async with httpx2.AsyncClient(timeout=10) as http:
        url = f"{settings.GOOGLE_API_URL}/calendar/v3/calendars/primary/events"
        answer = await http.get(url, auth=connection.auth())
    found = answer.raise_for_status().json()
    context = {
        "user": found["summary"],
        "events": [event["summary"] for event in found["items"]],
        "manage": reverse("base44:connect", kwargs={"connector": "calendar"}) + "?next=/calendar",
        "sign_out": reverse("base44:logout"),
    }
    return render(request, "calendar.html", context)
